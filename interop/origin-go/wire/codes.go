// Package wire holds what travels between an origin and a remote: codes, control messages, proofs
// and the preamble, as docs/reference/protocol.md has them. It does no I/O beyond the reader it is given, and
// shares nothing with the Python program.
package wire

import "github.com/quic-go/quic-go"

// ALPN is what both ends must offer.
const ALPN = "quictunnel/1"

// Codes of streams (docs/reference/protocol.md, section 10). A receiver treats all alike.
const (
	ClientReset       quic.StreamErrorCode = 0x10
	OriginReset       quic.StreamErrorCode = 0x11
	OriginRefused     quic.StreamErrorCode = 0x12
	OriginUnreachable quic.StreamErrorCode = 0x13
	UnknownService    quic.StreamErrorCode = 0x14
	BadPreamble       quic.StreamErrorCode = 0x15
	CutShort          quic.StreamErrorCode = 0x17
)

// Codes of links.
const (
	NoError           quic.ApplicationErrorCode = 0x00
	ProtocolViolation quic.ApplicationErrorCode = 0x02
	Goodbye           quic.ApplicationErrorCode = 0x20
	TakenOver         quic.ApplicationErrorCode = 0x21
	BadToken          quic.ApplicationErrorCode = 0x22
	NoToken           quic.ApplicationErrorCode = 0x23
	NotProven         quic.ApplicationErrorCode = 0x24
	BadVersion        quic.ApplicationErrorCode = 0x25
	HelloTimeout      quic.ApplicationErrorCode = 0x26
	NotAllowed        quic.ApplicationErrorCode = 0x27
	ServiceTaken      quic.ApplicationErrorCode = 0x28
	BadCertificate    quic.ApplicationErrorCode = 0x29
)

// IsFinal tells whether an origin that is closed with a code must not try again.
func IsFinal(code quic.ApplicationErrorCode) bool {
	switch code {
	case TakenOver, BadToken, NoToken, NotProven, BadVersion, NotAllowed, ServiceTaken, BadCertificate:
		return true
	}
	return false
}
