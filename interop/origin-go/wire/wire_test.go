package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// The vectors of docs/reference/protocol.md.
const (
	tcp4 = "0d0a0d0a000d0a515549540a21110029c000022ccb007107c8862328e0000764656661756c74" +
		"05001063633634326235393639623261373965"
	tcp6 = "0d0a0d0a000d0a515549540a2121004120010db800000000000000000000004420010db8000000000000000000000007" +
		"c8862328e0000764656661756c7405001063633634326235393639623261373965"
	local = "0d0a0d0a000d0a515549540a2000001de0000764656661756c7405001063633634326235393639623261373965"
)

func preamble(client, outside string) Preamble {
	found := Preamble{Service: "default", ID: []byte("cc642b5969b2a79e")}
	if client != "" {
		found.Client, found.Outside = netip.MustParseAddrPort(client), netip.MustParseAddrPort(outside)
	}
	return found
}

func TestPreamble(t *testing.T) {
	for text, expected := range map[string]Preamble{
		tcp4:  preamble("192.0.2.44:51334", "203.0.113.7:9000"),
		tcp6:  preamble("[2001:db8::44]:51334", "[2001:db8::7]:9000"),
		local: preamble("", ""),
	} {
		data, _ := hex.DecodeString(text)
		if written := expected.Bytes(); !bytes.Equal(written, data) {
			t.Errorf("wrote %x, expected %x", written, data)
		}
		from := bytes.NewReader(append(data, "rest"...))
		found, err := ReadPreamble(iotest.OneByteReader(from))
		if err != nil || found.Client != expected.Client || found.Outside != expected.Outside ||
			found.Service != expected.Service || !bytes.Equal(found.ID, expected.ID) {
			t.Errorf("read %v (%v), expected %v", found, err, expected)
		}
		if rest, _ := io.ReadAll(from); string(rest) != "rest" {
			t.Errorf("left %q", rest)
		}
		for size := range data {
			if _, err := ReadPreamble(bytes.NewReader(data[:size])); !errors.Is(err, ErrMalformed) {
				t.Errorf("cut to %d bytes: %v", size, err)
			}
		}
	}
}

func TestProofs(t *testing.T) {
	exporter, _ := hex.DecodeString("a1c0703f6643b71cb7e989ba8aa232c62db1d83fe614e725d2b2562ab64cd1f4")
	token := Token{"7f3a9c01", "Zm9ydHktdHdvLWJ5dGVzLW9mLW5vdGhpbmc"}
	for role, proof := range map[string]string{
		Origin: "fcb5a283438201e5e216c0d4a517971195626903b5e68b86504c7e2fa78d6857",
		Remote: "e8dd77f09f5be9cdbb4c1d75f2f1b9558737ce4ef91b082e5be31caf64d4f453",
	} {
		if !token.Proves(proof, role, exporter) {
			t.Errorf("the proof of %s is %s", role, token.Proof(role, exporter))
		}
	}
	if token.Proves(token.Proof(Origin, exporter), Remote, exporter) {
		t.Error("an origin's proof was taken for a remote's")
	}
}

func TestMessages(t *testing.T) {
	unknown := `{"type":"news","name":7}`
	goodbye := `{"type":"goodbye","reason":"the remote is shutting down","grace":30.0,"more":[]}`
	framed := "\x00\x00\x00" + string(rune(len(unknown))) + unknown + "\x00\x00\x00" + string(rune(len(goodbye))) + goodbye
	message, err := Receive(iotest.OneByteReader(strings.NewReader(framed)))
	if err != nil || message.Type != "goodbye" || *message.Grace != 30 {
		t.Errorf("received %v (%v)", message, err)
	}
	for _, body := range []string{"", "[]", "{}", `{"type":1}`, `{"Type":"goodbye"}`, `{"type":"goodbye"}`,
		`{"type":"goodbye","reason":"","Grace":1}`, `{"type":"services","services":[{"name":"A"}]}`} {
		if _, err := Receive(strings.NewReader("\x00\x00\x00" + string(rune(len(body))) + body)); !errors.Is(err, ErrViolation) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := Receive(strings.NewReader("\x00\x01\x00\x01")); !errors.Is(err, ErrViolation) {
		t.Errorf("a message that is too long: %v", err)
	}
}
