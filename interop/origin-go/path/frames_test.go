package path

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

// The vectors of docs/reference/protocol.md.
const (
	datagram   = "4001020304"
	ofRemote   = "82054001020304"
	ofOrigin   = "8285aabbccddeabacedeae"
	empty      = "8200"
	pinged     = "890131"
	longest    = "827e05c0" // the head of a message of 1472 bytes
	longestTwo = "827e05c1"
)

func decoded(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}

func TestMasked(t *testing.T) {
	frame := masked(message, decoded(datagram), [4]byte{0xaa, 0xbb, 0xcc, 0xdd})
	if found := hex.EncodeToString(frame); found != ofOrigin {
		t.Errorf("wrote %s, expected %s", found, ofOrigin)
	}
}

// serving returns the remote's end of an open WebSocket.
func serving(t *testing.T) (*WebSocket, net.Conn, context.CancelFunc) {
	w := NewWebSocket("ws://localhost/", nil, &net.UDPAddr{})
	ours, remote := net.Pipe()
	open, shut := context.WithCancel(context.Background())
	go w.serve(open, newConnection(ours))
	t.Cleanup(func() { shut(); remote.Close() })
	return w, remote, shut
}

// frame reads an origin's frame of less than 126 bytes: its first byte and its payload.
func frame(t *testing.T, remote net.Conn) (byte, string) {
	head := make([]byte, 6)
	if _, err := io.ReadFull(remote, head); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(remote, payload); err != nil {
		t.Fatal(err)
	}
	for at := range payload {
		payload[at] ^= head[2+at%4]
	}
	return head[0], hex.EncodeToString(payload)
}

func TestReceives(t *testing.T) {
	w, remote, _ := serving(t)
	filled := longest + strings.Repeat("00", largest)
	go remote.Write(decoded(empty + ofRemote + filled))
	for _, expected := range []string{datagram, filled[len(longest):]} {
		into := make([]byte, 2*largest)
		size, _, err := w.ReadFrom(into)
		if found := hex.EncodeToString(into[:size]); err != nil || found != expected {
			t.Errorf("received %s (%v), expected %s", found, err, expected)
		}
	}
}

func TestAnswersPing(t *testing.T) {
	_, remote, _ := serving(t)
	go remote.Write(decoded(pinged))
	if kind, payload := frame(t, remote); kind != pong || payload != "31" {
		t.Errorf("answered with %#x %s", kind, payload)
	}
}

func TestRefuses(t *testing.T) {
	for frames, code := range map[string]string{
		"810141":               "03eb", // text: 1003
		"010141":               "03eb", // a fragment of text
		"020141":               "03eb", // a fragment
		"800141":               "03ea", // the end of a message without a beginning: 1002
		"c20141":               "03ea", // an extension
		ofOrigin:               "03ea", // masked
		"830141":               "03ea", // an unknown kind
		"897e007e":             "03ea", // a long Ping
		longestTwo:             "03f1", // 1009
		"827f0000000000010000": "03f1",
	} {
		_, remote, _ := serving(t)
		go remote.Write(decoded(frames))
		if kind, payload := frame(t, remote); kind != closing || payload != code {
			t.Errorf("%s: answered with %#x %s, expected code %s", frames, kind, payload, code)
		}
		if rest, err := io.ReadAll(remote); len(rest) > 0 || err != nil {
			t.Errorf("%s: then %x (%v)", frames, rest, err)
		}
	}
}

func TestShuts(t *testing.T) {
	_, remote, shut := serving(t)
	shut()
	if kind, payload := frame(t, remote); kind != closing || payload != "03e8" {
		t.Errorf("sent %#x %s", kind, payload)
	}
}
