vcl 4.1;

backend application {
    .host = "127.0.0.1";
    .port = "@ORIGIN@";
}

# Stores text compressed and serves it so to clients that accept it; everything else is Varnish's built-in policy.
sub vcl_backend_response {
    if (beresp.http.Content-Type ~ "^text/") { set beresp.do_gzip = true; }
}
