"""The pages: what people see of a registry in a browser, and the forms by which they change it.

Strategy: pages are made on the server, and work without any script. Each is an address: what is
filtered, sorted and turned over is in its query. Views and actions only translate; what they show
and do, they ask of `Registry`. Nothing here is loaded before somebody opens a page.
"""

from registry_server.pages.serving import page_part

__all__ = ["page_part"]
