package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Roles, as a proof has them.
const (
	Origin = "origin"
	Remote = "remote"
)

// Token is the secret that both ends know, and its name.
type Token struct{ ID, Secret string }

// ReadToken reads `id.secret` from the first line of a file.
func ReadToken(path string) (Token, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Token{}, err
	}
	id, secret, found := strings.Cut(strings.TrimSpace(string(text)), ".")
	if !found || id == "" || secret == "" {
		return Token{}, fmt.Errorf("%s holds no token, which is written id.secret", path)
	}
	return Token{id, secret}, nil
}

// Proof makes the proof of one role for a TLS session whose exporter is given.
func (t Token) Proof(role string, exporter []byte) string {
	mac := hmac.New(sha256.New, []byte(t.Secret))
	mac.Write([]byte(role))
	mac.Write(exporter)
	return hex.EncodeToString(mac.Sum(nil))
}

// Proves compares a proof with the right one, in constant time.
func (t Token) Proves(proof, role string, exporter []byte) bool {
	return hmac.Equal([]byte(proof), []byte(t.Proof(role, exporter)))
}

// Exporter returns the 32 bytes to which the proofs of a session are bound.
func Exporter(session tls.ConnectionState) ([]byte, error) {
	return session.ExportKeyingMaterial("EXPORTER-quictunnel", []byte{}, 32)
}
