// Package path has what carries a link's datagrams (docs/reference/protocol.md, section 14): UDP, and a
// WebSocket. Both are a net.PacketConn, which is all that a QUIC library needs.
package path

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	largest      = 1472                   // bytes of a datagram
	largestHead  = 16 << 10               // bytes of the response that opens a WebSocket
	queueAge     = 50 * time.Millisecond  // older datagrams are dropped instead of sent
	queueLength  = 1024                   // frames
	stalledAfter = 10 * time.Second       // a write that takes so long ends the WebSocket
	openWithin   = 10 * time.Second       // the proxy, TLS and the upgrade together
	firstReopen  = 200 * time.Millisecond // between two tries
	lastReopen   = 5 * time.Second
	unsentLimit  = 64 << 10 // bytes that wait in the kernel; more wait in the queue
)

// Linux's number of this option, which package syscall does not have.
const tcpNotsentLowat = 25

// WebSocket is a net.PacketConn whose datagrams are binary messages. Between Open and Shut it connects again
// whenever its connection ends. To QUIC that looks like a NAT that has changed the port.
type WebSocket struct {
	url       string
	peer      net.Addr
	transport *http.Transport

	received chan []byte
	queue    chan queuedFrame
	ended    chan struct{}
	end      sync.Once

	mutex sync.Mutex
	shut  context.CancelFunc
}

type queuedFrame struct {
	kind    byte
	payload []byte
	queued  time.Time
}

// NewWebSocket makes a path that is not open yet.
//
// The proxy is an http:, https: or socks5: URL; nil means that of the environment. The certificate is not
// checked: the link inside proves both ends. The peer is the address that QUIC sees.
func NewWebSocket(to string, proxy *url.URL, peer net.Addr) *WebSocket {
	choose := http.ProxyFromEnvironment
	if proxy != nil {
		choose = http.ProxyURL(proxy)
	}
	dialer := &net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsentLimit)
		})
	}}
	return &WebSocket{
		url:  "http" + strings.TrimPrefix(to, "ws"), // or https
		peer: peer,
		transport: &http.Transport{
			Proxy:                  choose,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
			MaxResponseHeaderBytes: largestHead,
		},
		received: make(chan []byte, queueLength),
		queue:    make(chan queuedFrame, queueLength),
		ended:    make(chan struct{}),
	}
}

// Open connects, and from then on keeps the path open until Shut.
func (w *WebSocket) Open(ctx context.Context) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	open, shut := context.WithCancel(context.Background())
	w.shut = shut
	go w.keep(open, conn)
	return nil
}

// Shut closes the connection, if there is one.
func (w *WebSocket) Shut() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.shut != nil {
		w.shut()
		w.shut = nil
	}
}

func (w *WebSocket) dial(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	return connect(ctx, w.transport, w.url)
}

// keep serves a connection, and each that follows it.
func (w *WebSocket) keep(open context.Context, conn *connection) {
	wait := firstReopen
	for {
		if conn != nil {
			err := w.serve(open, conn)
			if open.Err() == nil {
				log.Printf("websocket closed: %v", err)
			}
			wait = firstReopen
		}
		select {
		case <-open.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastReopen)
		conn, _ = w.dial(open)
	}
}

// serve carries datagrams until the connection ends or the path is shut, and returns why.
func (w *WebSocket) serve(open context.Context, conn *connection) error {
	ctx, end := context.WithCancelCause(open)
	go func() { end(w.receive(ctx, conn)) }()
	end(w.send(ctx, conn))
	err, code := context.Cause(ctx), uint16(normal)
	var refusal refused
	if errors.As(err, &refusal) {
		code = refusal.code
	}
	conn.close(code)
	return err
}

func (w *WebSocket) receive(ctx context.Context, conn *connection) error {
	for {
		kind, payload, err := conn.read()
		switch {
		case err != nil:
			return err
		case kind == closing:
			return fmt.Errorf("the remote has closed it: %q", payload)
		case kind == ping && len(w.queue) == 0:
			w.enqueue(pong, payload)
		case kind == message && len(payload) > 0:
			select {
			case w.received <- payload:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (w *WebSocket) send(ctx context.Context, conn *connection) error {
	for {
		select {
		case next := <-w.queue:
			if time.Since(next.queued) > queueAge {
				continue
			}
			if err := conn.write(next.kind, next.payload); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enqueue drops the frame when the queue is full, as a router would.
func (w *WebSocket) enqueue(kind byte, payload []byte) {
	select {
	case w.queue <- queuedFrame{kind, payload, time.Now()}:
	default:
	}
}

// ReadFrom returns the next datagram, from the only peer.
func (w *WebSocket) ReadFrom(into []byte) (int, net.Addr, error) {
	select {
	case data := <-w.received:
		return copy(into, data), w.peer, nil
	case <-w.ended:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo queues a datagram.
func (w *WebSocket) WriteTo(data []byte, _ net.Addr) (int, error) {
	w.enqueue(message, slices.Clone(data))
	return len(data), nil
}

// Close ends the path for good, after the link's last packet, which tells the peer why it ends.
func (w *WebSocket) Close() error {
	time.Sleep(queueAge)
	w.Shut()
	w.end.Do(func() { close(w.ended) })
	return nil
}

// LocalAddr returns an address that is never routed (RFC 6666).
func (w *WebSocket) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP("100::")} }

// SetReadDeadline ends reads: quic-go calls it for that alone.
func (w *WebSocket) SetReadDeadline(at time.Time) error {
	if !at.IsZero() {
		w.end.Do(func() { close(w.ended) })
	}
	return nil
}

// SetDeadline and SetWriteDeadline have no effect: writes do not wait.
func (w *WebSocket) SetDeadline(at time.Time) error   { return w.SetReadDeadline(at) }
func (w *WebSocket) SetWriteDeadline(time.Time) error { return nil }
