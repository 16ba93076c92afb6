"""Where the bytes are: a folder of this disk, a bucket, or what fsspec reaches."""
