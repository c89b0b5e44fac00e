// Package ws follows the frames of a WebSocket connection that another library owns, and can end it with a farewell that
// this library knows nothing of.
//
// A [Conn] stands between the library that hijacked the connection and the connection itself. It passes every byte
// on, unchanged, and keeps count of where frames and messages begin and end (RFC 6455, section 5). Asked for a
// [Farewell], it puts an optional last message at a message boundary and a Close frame at a frame boundary into the
// outgoing bytes, never inside a frame, swallows what the handler writes afterwards, and sees the closing handshake
// through. What it can't follow (a refused upgrade, another protocol, masked outgoing frames) it never writes into.
//
// It keeps no time, but for the moment that the beginning of a frame may wait for its rest (see [Conn.Write]): how long a
// farewell waits, and when to call [Conn.Insist], [Conn.Finish] and [Conn.Cut], is its caller's business. It doesn't negotiate, read or check messages, and it doesn't check that the upgrade was to
// "websocket": its caller must.
//
// A WebSocket over HTTP/2 (RFC 8441, which net/http takes only with GODEBUG=http2xconnect=1) has no connection to hijack:
// its frames are the bodies of a CONNECT and of its response. [Frames] follow those, for package middleware to put the
// same farewell in by the ResponseWriter. There the peer's Close is waited for until halfway from the cancel to the cut,
// since a read of such a body that has met its deadline can't be taken up again.
package ws
