import NIOCore

/// The page that says what went wrong: small, plain, and without a word that came from a peer.
enum ErrorPage {
    /// The HTML body for a status.
    /// - Parameter reason: One of our own named reasons, shown so that whoever reports the error can quote it.
    static func body(status: Int, title: String, reason: String) -> String {
        """
        <!doctype html>
        <html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
        <title>\(status) \(title)</title>
        <style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em;color:#223}h1{font-size:1.5em}\
        small{color:#667}</style>
        <h1>\(title)</h1>
        <p>\(advice(status, reason))</p>
        <p><small>\(status) · \(reason) · headrace</small></p>
        </html>

        """
    }

    /// The status's own words, for the title.
    /// - Source: RFC 9110 §15.
    static func title(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }

    private static func advice(_ status: Int, _ reason: String) -> String {
        switch status {
        case 503 where reason == EdgeReason.maintenance.rawValue: "This address is down for maintenance. Try again later."
        case 502: "The application behind this address gave no usable answer. Try again in a moment."
        case 503: "The application is busy. Try again in a moment."
        case 504: "The application did not answer in time. Try again in a moment."
        case 404: "There is nothing at this address."
        case 401: "This address asks for a name and a password."
        case 403: "This address is not for you."
        case 408: "The request took too long to arrive."
        case 429: "You ask more often than you may here. Wait a little."
        case 413: "The request is larger than what is accepted here."
        case 414, 431: "The request's address or header is larger than what is accepted here."
        default: "The request could not be understood."
        }
    }
}
