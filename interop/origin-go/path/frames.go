package path

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The first byte of a frame that is the only one of its message (RFC 6455, 5.2).
const (
	message = 0x82 // binary
	closing = 0x88
	ping    = 0x89
	pong    = 0x8a
)

// Close codes (RFC 6455, 7.4.1).
const (
	normal       = 1000
	protocolFail = 1002
	unsupported  = 1003
	tooLong      = 1009
)

const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, 1.3

// refused is the error for a frame that this end does not accept. The code tells the peer why.
type refused struct {
	code   uint16
	reason string
}

func (r refused) Error() string { return r.reason }

// connection is the client's end of an open WebSocket.
type connection struct {
	stream io.WriteCloser
	reader *bufio.Reader
}

// connect sends the opening request to an http: or https: URL, and checks the response.
func connect(ctx context.Context, transport *http.Transport, to string) (*connection, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	request.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-WebSocket-Version": {"13"}, "Sec-WebSocket-Key": {key},
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	accept := sha1.Sum([]byte(key + acceptSuffix))
	// With status 101, and only then, the body is the connection.
	stream, isOpen := response.Body.(io.ReadWriteCloser)
	if !isOpen || response.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(accept[:]) {
		response.Body.Close()
		return nil, fmt.Errorf("%s opens no WebSocket: %s", to, response.Status)
	}
	return newConnection(stream), nil
}

func newConnection(stream io.ReadWriteCloser) *connection {
	return &connection{stream, bufio.NewReader(stream)}
}

// read returns the first byte and the payload of the next frame.
func (c *connection) read() (byte, []byte, error) {
	var head, extended [2]byte
	if _, err := io.ReadFull(c.reader, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := head[0], int(head[1])
	switch kind {
	case message, closing, ping, pong:
	case 0x01, 0x02, 0x81:
		return 0, nil, refused{unsupported, "a message is text or fragmented"}
	default:
		return 0, nil, refused{protocolFail, fmt.Sprintf("a frame begins with %#x", kind)}
	}
	switch {
	case size > 127 || kind != message && size > 125:
		return 0, nil, refused{protocolFail, "a frame is masked, or a control frame is too long"}
	case size == 127:
		size = largest + 1 // at least
	case size == 126:
		if _, err := io.ReadFull(c.reader, extended[:]); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(extended[:]))
	}
	if size > largest {
		return 0, nil, refused{tooLong, "a message is too long"}
	}
	payload := make([]byte, size)
	_, err := io.ReadFull(c.reader, payload)
	return kind, payload, err
}

// write sends a frame. It closes the connection if that takes too long.
func (c *connection) write(kind byte, payload []byte) error {
	stalled := time.AfterFunc(stalledAfter, func() { c.stream.Close() })
	defer stalled.Stop()
	var mask [4]byte
	rand.Read(mask[:])
	_, err := c.stream.Write(masked(kind, payload, mask))
	return err
}

// close sends a close frame, and closes the connection.
func (c *connection) close(code uint16) {
	c.write(closing, binary.BigEndian.AppendUint16(nil, code))
	c.stream.Close()
}

// masked returns a frame with at most largest bytes of payload.
func masked(kind byte, payload []byte, mask [4]byte) []byte {
	frame := []byte{kind}
	if size := len(payload); size < 126 {
		frame = append(frame, 0x80|byte(size))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(size))
	}
	frame = append(frame, mask[:]...)
	for at, value := range payload {
		frame = append(frame, value^mask[at%4])
	}
	return frame
}
