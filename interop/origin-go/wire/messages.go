package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	largestBody  = 65536
	mostServices = 128
	longestHold  = 31_622_400 // seconds
	largest      = 1<<62 - 1
)

// ErrViolation is wrapped by every error that a message breaks the protocol with.
var ErrViolation = errors.New("protocol violation")

// Service is what an origin offers and a remote grants.
type Service struct {
	Name    string  `json:"name"`
	Address *string `json:"address,omitempty"`
}

// Message is one of any type: what a type does not have is left out. Members that must be there are
// pointers, so that one that is missing can be told from one that is empty or 0.
type Message struct {
	Type     string     `json:"type"`
	Version  *uint64    `json:"version,omitempty"`
	Agent    *string    `json:"agent,omitempty"`
	Name     *string    `json:"name,omitempty"`
	TokenID  *string    `json:"token_id,omitempty"`
	Proof    *string    `json:"proof,omitempty"`
	Instance *string    `json:"instance,omitempty"`
	Services *[]Service `json:"services,omitempty"`
	Hold     *float64   `json:"hold,omitempty"`
	Code     *uint64    `json:"code,omitempty"`
	Text     *string    `json:"message,omitempty"`
	Reason   *string    `json:"reason,omitempty"`
	Grace    *float64   `json:"grace,omitempty"`
}

// Send writes a message with its length in front.
func Send(to io.Writer, message Message) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	_, err = to.Write(append(framed, body...))
	return err
}

// Receive reads the next message of a known type. At the end of the stream it returns io.EOF.
func Receive(from io.Reader) (Message, error) {
	for {
		body, err := receiveBody(from)
		if err != nil {
			return Message{}, err
		}
		var members map[string]json.RawMessage
		var kind *string
		if json.Unmarshal(body, &members) != nil || json.Unmarshal(members["type"], &kind) != nil ||
			kind == nil || !utf8.Valid(body) {
			return Message{}, fmt.Errorf("%w: no JSON object with a type", ErrViolation)
		}
		check, known := checks[*kind]
		if !known {
			continue
		}
		message, err := build(members)
		if err != nil {
			return Message{}, fmt.Errorf("%w: %s: %v", ErrViolation, *kind, err)
		}
		if !check(message) {
			return Message{}, fmt.Errorf("%w: a member of %s is missing or wrong", ErrViolation, *kind)
		}
		return message, nil
	}
}

// build reads the members that a message may have. The others are taken away before: Go's own reader
// would find `Type` as good as `type`.
func build(members map[string]json.RawMessage) (message Message, err error) {
	for name := range members {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			delete(members, name)
		}
	}
	known, err := json.Marshal(members)
	if err == nil {
		err = json.Unmarshal(known, &message)
	}
	return message, err
}

func receiveBody(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, ended(err)
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > largestBody {
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrViolation, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, ended(err)
	}
	return body, nil
}

// ended turns an unexpected EOF into an EOF. A truncated message is dropped.
func ended(err error) error {
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}

// checks has the required members of each known type.
var checks = map[string]func(Message) bool{
	"hello": func(m Message) bool {
		return isNumber(m.Version) && isText(m.Agent, 255) && isText(m.Name, 255) && isText(m.TokenID, 255) &&
			isText(m.Proof, 255) && areServices(m.Services) && (m.Hold == nil || areSeconds(m.Hold))
	},
	"welcome": func(m Message) bool {
		return isText(m.Proof, 255) && isText(m.Instance, 255) && areServices(m.Services) && areSeconds(m.Hold)
	},
	"refused":  func(m Message) bool { return isNumber(m.Code) && isText(m.Text, 1024) },
	"services": func(m Message) bool { return areServices(m.Services) },
	"goodbye":  func(m Message) bool { return isText(m.Reason, 1024) && areSeconds(m.Grace) },
}

func isNumber(number *uint64) bool { return number != nil && *number <= largest }

func isText(text *string, longest int) bool {
	return text != nil && utf8.RuneCountInString(*text) <= longest
}

func areSeconds(seconds *float64) bool {
	return seconds != nil && *seconds >= 0 && *seconds <= longestHold
}

func areServices(services *[]Service) bool {
	if services == nil || len(*services) > mostServices {
		return false
	}
	for _, service := range *services {
		if !isServiceName(service.Name) || (service.Address != nil && !isText(service.Address, 261)) {
			return false
		}
	}
	return true
}

func isServiceName(name string) bool {
	for _, c := range name {
		isFine := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !isFine {
			return false
		}
	}
	return name != "" && len(name) <= 63
}
