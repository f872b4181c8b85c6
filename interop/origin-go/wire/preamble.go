package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"unicode/utf8"
)

const (
	signature     = "\r\n\r\n\x00\r\nQUIT\n"
	headSize      = len(signature) + 4
	largestRest   = 2048
	longestID     = 128
	tlvCRC32C     = 0x03
	tlvUniqueID   = 0x05
	tlvService    = 0xe0
	commandLocal  = 0x20
	commandProxy  = 0x21
	familyUnknown = 0x00
	familyTCP4    = 0x11
	familyTCP6    = 0x21
)

// ErrMalformed is wrapped by every error about a preamble.
var ErrMalformed = errors.New("malformed preamble")

// Preamble describes a client. Unknown addresses are not valid.
type Preamble struct {
	Client, Outside netip.AddrPort
	Service         string
	ID              []byte
}

// Bytes writes a preamble.
func (p Preamble) Bytes() []byte {
	command, family, rest := byte(commandLocal), byte(familyUnknown), []byte{}
	if p.Client.IsValid() && p.Outside.IsValid() {
		command = commandProxy
		client, outside := p.Client.Addr().Unmap(), p.Outside.Addr().Unmap()
		if client.Is4() && outside.Is4() {
			family = familyTCP4
			rest = append(client.AsSlice(), outside.AsSlice()...)
		} else {
			family = familyTCP6
			a, b := client.As16(), outside.As16()
			rest = append(a[:], b[:]...)
		}
		rest = binary.BigEndian.AppendUint16(rest, p.Client.Port())
		rest = binary.BigEndian.AppendUint16(rest, p.Outside.Port())
	}
	rest = appendTLV(rest, tlvService, []byte(p.Service))
	rest = appendTLV(rest, tlvUniqueID, p.ID)
	head := append([]byte(signature), command, family)
	head = binary.BigEndian.AppendUint16(head, uint16(len(rest)))
	return append(head, rest...)
}

func appendTLV(to []byte, kind byte, value []byte) []byte {
	to = binary.BigEndian.AppendUint16(append(to, kind), uint16(len(value)))
	return append(to, value...)
}

// ReadPreamble reads a preamble and no byte behind it.
func ReadPreamble(from io.Reader) (Preamble, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(from, head); err != nil {
		return Preamble{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	size := int(binary.BigEndian.Uint16(head[headSize-2:]))
	if string(head[:len(signature)]) != signature || size > largestRest {
		return Preamble{}, fmt.Errorf("%w: not a header of version 2", ErrMalformed)
	}
	whole := append(head, make([]byte, size)...)
	if _, err := io.ReadFull(from, whole[headSize:]); err != nil {
		return Preamble{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return parse(whole)
}

func parse(whole []byte) (Preamble, error) {
	var found Preamble
	command, family, rest := whole[headSize-4], whole[headSize-3], whole[headSize:]
	if command != commandProxy && command != commandLocal {
		return found, fmt.Errorf("%w: command %#x", ErrMalformed, command)
	}
	if command == commandLocal || isUnspecified(family) {
		// The sender may have put there what it likes.
		tlvs, ok := split(rest)
		if family != familyUnknown || !ok {
			return found, nil
		}
		return found, found.take(tlvs, whole)
	}
	size, known := sizes[family]
	if !known || len(rest) < size {
		return found, fmt.Errorf("%w: family %#x with %d bytes", ErrMalformed, family, len(rest))
	}
	if family == familyTCP4 || family == familyTCP6 {
		found.Client, found.Outside = addresses(rest[:size])
	}
	tlvs, ok := split(rest[size:])
	if !ok {
		return found, fmt.Errorf("%w: its TLVs", ErrMalformed)
	}
	return found, found.take(tlvs, whole)
}

func isUnspecified(family byte) bool {
	kind, transport := family>>4, family&0xf
	return kind == 0 && transport <= 2 || transport == 0 && kind <= 3
}

// How many bytes of addresses stand behind the head, for each family that the PROXY protocol knows.
var sizes = map[byte]int{
	familyTCP4: 12, familyTCP6: 36, 0x12: 12, 0x22: 36, 0x31: 216, 0x32: 216,
}

func addresses(block []byte) (client, outside netip.AddrPort) {
	each := (len(block) - 4) / 2
	a, _ := netip.AddrFromSlice(block[:each])
	b, _ := netip.AddrFromSlice(block[each : 2*each])
	ports := block[2*each:]
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(b.Unmap(), binary.BigEndian.Uint16(ports[2:]))
}

type tlv struct {
	kind  byte
	value []byte // of the preamble's own bytes
}

func split(rest []byte) (found []tlv, ok bool) {
	for len(rest) > 0 {
		if len(rest) < 3 {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(rest[1:]))
		if len(rest) < 3+size {
			return nil, false
		}
		found = append(found, tlv{rest[0], rest[3 : 3+size]})
		rest = rest[3+size:]
	}
	return found, true
}

// take keeps what the TLVs say. It blanks a checksum in `whole`, over which it is checked.
func (p *Preamble) take(tlvs []tlv, whole []byte) error {
	seen := map[byte]bool{}
	for _, one := range tlvs {
		switch one.kind {
		case tlvService, tlvUniqueID, tlvCRC32C:
			if seen[one.kind] {
				return fmt.Errorf("%w: TLV %#x stands twice", ErrMalformed, one.kind)
			}
			seen[one.kind] = true
		}
		switch one.kind {
		case tlvService:
			if !utf8.Valid(one.value) {
				return fmt.Errorf("%w: the service's name", ErrMalformed)
			}
			p.Service = string(one.value)
		case tlvUniqueID:
			if len(one.value) > longestID {
				return fmt.Errorf("%w: an id of %d bytes", ErrMalformed, len(one.value))
			}
			p.ID = one.value
		case tlvCRC32C:
			if len(one.value) != 4 {
				return fmt.Errorf("%w: a checksum of %d bytes", ErrMalformed, len(one.value))
			}
			told := binary.BigEndian.Uint32(one.value)
			copy(one.value, []byte{0, 0, 0, 0})
			if told != crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) {
				return fmt.Errorf("%w: its checksum is wrong", ErrMalformed)
			}
		}
	}
	return nil
}
