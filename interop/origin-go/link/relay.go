// Package link is what the two ends of a link share: a client's stream joined to its TCP connection,
// the clients that are present, and how an end takes its leave (docs/reference/protocol.md, sections 7 and 8).
package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/quic-go/quic-go"
)

// Largest piece that is copied at once.
const piece = 64 << 10

// Relay joins a stream and a TCP connection until both directions have ended.
type Relay struct {
	stream *quic.Stream
	tcp    *net.TCPConn
	once   sync.Once
}

// Run copies both ways. A FIN is passed on as a FIN, and a reset as a reset with `lost`, which is
// this role's code for a TCP connection that was cut.
func Run(stream *quic.Stream, tcp *net.TCPConn, lost quic.StreamErrorCode) {
	relay := &Relay{stream: stream, tcp: tcp}
	// A peer that resets does so in both directions: this tells while neither is being read.
	unwatch := context.AfterFunc(stream.Context(), func() {
		var reset *quic.StreamError
		if errors.As(context.Cause(stream.Context()), &reset) && reset.Remote {
			relay.abort(reset.ErrorCode)
		}
	})
	defer unwatch()
	var both sync.WaitGroup
	both.Go(func() { relay.send(lost) })
	both.Go(func() { relay.receive(lost) })
	both.Wait()
	tcp.Close()
}

// send copies from TCP to the stream.
func (r *Relay) send(lost quic.StreamErrorCode) {
	if _, err := io.CopyBuffer(onlyWriter{r.stream}, onlyReader{r.tcp}, make([]byte, piece)); err != nil {
		r.abort(codeOf(err, lost))
		return
	}
	r.stream.Close()
}

// receive copies from the stream to TCP.
func (r *Relay) receive(lost quic.StreamErrorCode) {
	if _, err := io.CopyBuffer(onlyWriter{r.tcp}, onlyReader{r.stream}, make([]byte, piece)); err != nil {
		r.abort(codeOf(err, lost))
		return
	}
	r.tcp.CloseWrite()
}

// abort resets all: the stream with a code, the TCP connection with RST.
func (r *Relay) abort(code quic.StreamErrorCode) {
	r.once.Do(func() {
		Reset(r.stream, code)
		Cut(r.tcp)
	})
}

// Reset sends RESET_STREAM and STOP_SENDING.
func Reset(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelWrite(code)
	stream.CancelRead(code)
}

// Cut closes a TCP connection so that its end is seen as a reset.
func Cut(tcp *net.TCPConn) {
	tcp.SetLinger(0)
	tcp.Close()
}

// codeOf is the other end's code where it has reset the stream, else our own.
func codeOf(err error, own quic.StreamErrorCode) quic.StreamErrorCode {
	var reset *quic.StreamError
	if errors.As(err, &reset) && reset.Remote {
		return reset.ErrorCode
	}
	return own
}

// These types hide ReadFrom and WriteTo, so that io.Copy uses our buffer.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }
