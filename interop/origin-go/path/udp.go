package path

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	probeSize   = 1200 // bytes of an Initial packet's datagram at least (RFC 9000, 14.1)
	probeWithin = time.Second
	unknown     = 0x1a2a3a4a // a version that no server has (RFC 9000, 15)
)

// UDP is a socket that outlives its network: a datagram that cannot be sent is lost like any other.
//
// quic-go uses ECN on all paths of a connection or on none, and a WebSocket has none. It does not use ECN
// with a net.PacketConn that is not a *net.UDPConn.
type UDP struct {
	net.PacketConn
	socket *net.UDPConn
}

// ListenUDP opens a socket on any port.
func ListenUDP() (*UDP, error) {
	socket, err := net.ListenUDP("udp", nil)
	return &UDP{socket, socket}, err
}

// WriteTo sends a datagram. Its only errors are those from which quic-go learns: too large, and closed.
func (u *UDP) WriteTo(data []byte, to net.Addr) (int, error) {
	sent, err := u.socket.WriteTo(data, to)
	if errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, net.ErrClosed) {
		return sent, err
	}
	return len(data), nil
}

// SyscallConn and the two others let quic-go set the socket's options.
func (u *UDP) SyscallConn() (syscall.RawConn, error) { return u.socket.SyscallConn() }
func (u *UDP) SetReadBuffer(size int) error          { return u.socket.SetReadBuffer(size) }
func (u *UDP) SetWriteBuffer(size int) error         { return u.socket.SetWriteBuffer(size) }

// Answers asks a remote over UDP for the versions that it has, which costs it no state (RFC 9000, 6).
func Answers(remote net.Addr) bool {
	socket, err := net.Dial("udp", remote.String())
	if err != nil {
		return false
	}
	defer socket.Close()
	probe := make([]byte, probeSize)
	rand.Read(probe[5:22])
	probe[0] = 0xc0
	binary.BigEndian.PutUint32(probe[1:], unknown)
	probe[5], probe[14] = 8, 8 // bytes of the two connection IDs
	if _, err := socket.Write(probe); err != nil {
		return false
	}
	socket.SetReadDeadline(time.Now().Add(probeWithin))
	answer := make([]byte, probeSize)
	size, err := socket.Read(answer)
	// Long header, version 0, and this end's ID first.
	return err == nil && size > 23 && answer[0]&0x80 != 0 &&
		binary.BigEndian.Uint32(answer[1:]) == 0 && string(answer[5:14]) == string(probe[14:23])
}
