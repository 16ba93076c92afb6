"""HTTP: the application, its tables of operations, middleware, response shapes and OpenAPI."""
