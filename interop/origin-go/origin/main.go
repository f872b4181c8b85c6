// An origin for quictunnel, written from docs/reference/protocol.md alone: it keeps a link to a remote, and
// connects each of the remote's streams to the origin server.
//
// It is here to show that the document suffices. It does not look after its network: a link that is
// silent is kept, and goes on when the remote is heard again, or over a WebSocket if it has the URL of one.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"quictunnel/interop/origin-go/link"
	"quictunnel/interop/origin-go/wire"
)

const (
	service       = "default"
	mostClients   = 1000
	hold          = 15 * time.Minute
	askAfter      = 5 * time.Second
	answerWithin  = 10 * time.Second // to a hello
	preambleAfter = 10 * time.Second
	dialWithin    = 10 * time.Second
	stoodFor      = 10 * time.Second // then the times between two tries begin anew
	firstTry      = 200 * time.Millisecond
	lastTry       = 20 * time.Second
)

// errFinal is wrapped by what makes another try useless.
var errFinal = errors.New("refused")

// origin is what the command line says.
type origin struct {
	remote, server, name  string
	via, websocket, proxy string
	token                 wire.Token
	grace                 time.Duration
}

func main() {
	var o origin
	tokenFile := ""
	flag.StringVar(&o.remote, "remote", "", "the remote, HOST:PORT")
	flag.StringVar(&o.server, "origin", "", "the origin server, HOST:PORT")
	flag.StringVar(&o.name, "name", "go", "which origin this is")
	flag.StringVar(&tokenFile, "token-file", "", "the file that holds the token")
	flag.StringVar(&o.via, "via", "auto", "auto, udp or websocket")
	flag.StringVar(&o.websocket, "websocket", "", "the URL of the remote's WebSocket; without it, UDP only")
	flag.StringVar(&o.proxy, "proxy", "", "the URL of an HTTP or SOCKS5 proxy for the WebSocket")
	flag.DurationVar(&o.grace, "grace", 30*time.Second, "for the clients that are present at the end")
	flag.Parse()
	if o.via != "auto" && o.via != "udp" && (o.via != "websocket" || o.websocket == "") {
		log.Print("--via is auto, udp or websocket, and a WebSocket needs its URL")
		os.Exit(2)
	}
	token, err := wire.ReadToken(tokenFile)
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	o.token = token
	leave, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := o.keep(leave); err != nil {
		log.Print(err)
		os.Exit(3)
	}
}

// keep makes one link after the other, until it is told to leave or another try is of no use.
func (o *origin) keep(leave context.Context) error {
	wait := firstTry
	for {
		start := time.Now()
		err := o.one(leave)
		log.Printf("link ended: %v", err)
		switch {
		case leave.Err() != nil:
			return nil
		case isFinal(err):
			return err
		case time.Since(start) > stoodFor:
			wait = firstTry
		}
		select {
		case <-leave.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, lastTry)
	}
}

func isFinal(err error) bool {
	var closed *quic.ApplicationError
	return errors.Is(err, errFinal) || errors.As(err, &closed) && closed.Remote && wire.IsFinal(closed.ErrorCode)
}

// one makes a link, serves its clients, and returns how it ended.
func (o *origin) one(leave context.Context) error {
	host, _, err := net.SplitHostPort(o.remote)
	if err != nil {
		return err
	}
	// Any certificate will do: the proof is bound to this session.
	security := &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{wire.ALPN}}
	ways, err := o.newPaths()
	if err != nil {
		return err
	}
	defer ways.close()
	conn, err := ways.dial(leave, security, &quic.Config{
		Versions:              []quic.Version{quic.Version1},
		MaxIdleTimeout:        hold,
		KeepAlivePeriod:       askAfter,
		MaxIncomingStreams:    mostClients,
		MaxIncomingUniStreams: -1,
	})
	if err != nil {
		return err
	}
	control, welcome, err := o.greet(leave, conn)
	if err != nil {
		// The reason of the remote, where it has closed the link, is the better one.
		if cause := context.Cause(conn.Context()); cause != nil {
			return cause
		}
		conn.CloseWithError(closingCode(err), err.Error())
		return err
	}
	log.Printf("link established path=%s", ways.name())
	var watching sync.WaitGroup
	watching.Go(func() { ways.watch(conn) })
	defer watching.Wait()
	return o.serve(leave, link.New(conn, control), *welcome.Services)
}

// errNotProven is a welcome from a remote that does not know the token.
var errNotProven = fmt.Errorf("%w: the remote does not prove that it knows the token", errFinal)

func closingCode(err error) quic.ApplicationErrorCode {
	switch {
	case errors.Is(err, errNotProven):
		return wire.NotProven
	case errors.Is(err, wire.ErrViolation):
		return wire.ProtocolViolation
	case errors.Is(err, context.Canceled):
		return wire.Goodbye
	}
	return wire.NoError
}

// greet says hello and checks the remote's answer.
func (o *origin) greet(leave context.Context, conn *quic.Conn) (*quic.Stream, wire.Message, error) {
	var none wire.Message
	exporter, err := wire.Exporter(conn.ConnectionState().TLS)
	if err != nil {
		return nil, none, err
	}
	control, err := conn.OpenStreamSync(leave)
	if err != nil {
		return nil, none, err
	}
	version, agent, seconds := uint64(1), "origin-go/0.1", hold.Seconds()
	proof := o.token.Proof(wire.Origin, exporter)
	err = wire.Send(control, wire.Message{
		Type: "hello", Version: &version, Agent: &agent, Name: &o.name, TokenID: &o.token.ID, Proof: &proof,
		Services: &[]wire.Service{{Name: service}}, Hold: &seconds,
	})
	if err != nil {
		return nil, none, err
	}
	unwatch := context.AfterFunc(leave, func() { control.SetReadDeadline(time.Now()) })
	defer unwatch()
	control.SetReadDeadline(time.Now().Add(answerWithin))
	answer, err := wire.Receive(control)
	switch {
	case leave.Err() != nil:
		return nil, none, context.Canceled
	case err != nil:
		return nil, none, err
	case answer.Type == "refused":
		return nil, none, fmt.Errorf("%w with %#x: %q", errFinal, *answer.Code, *answer.Text)
	case answer.Type != "welcome":
		return nil, none, fmt.Errorf("%w: %s for an answer to hello", wire.ErrViolation, answer.Type)
	case !o.token.Proves(*answer.Proof, wire.Remote, exporter):
		return nil, none, errNotProven
	}
	control.SetReadDeadline(time.Time{})
	return control, answer, nil
}

// serve takes the remote's streams until the link has ended.
func (o *origin) serve(leave context.Context, l *link.Link, granted []wire.Service) error {
	fmt.Printf("ready: %d services at %s -> %s\n", len(granted), o.remote, o.server)
	unwatch := context.AfterFunc(leave, func() { l.SayGoodbye("the origin is shutting down", o.grace) })
	defer unwatch()
	go func() {
		for {
			stream, err := l.Conn.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go l.Serve(stream, func() { o.client(stream) })
		}
	}()
	return l.Listen()
}

// client serves one client.
func (o *origin) client(stream *quic.Stream) {
	stream.SetReadDeadline(time.Now().Add(preambleAfter))
	who, err := wire.ReadPreamble(stream)
	if err != nil {
		log.Printf("client %d: %v", stream.StreamID(), err)
		link.Reset(stream, wire.BadPreamble)
		return
	}
	stream.SetReadDeadline(time.Time{})
	log.Printf("client in client=%v outside=%v service=%q id=%q", who.Client, who.Outside, who.Service, who.ID)
	if who.Service != service {
		link.Reset(stream, wire.UnknownService)
		return
	}
	server, err := net.DialTimeout("tcp", o.server, dialWithin)
	if errors.Is(err, syscall.ECONNREFUSED) {
		link.Reset(stream, wire.OriginRefused)
	} else if err != nil {
		link.Reset(stream, wire.OriginUnreachable)
	} else {
		link.Run(stream, server.(*net.TCPConn), wire.OriginReset)
	}
	log.Printf("client out id=%q", who.ID)
}
