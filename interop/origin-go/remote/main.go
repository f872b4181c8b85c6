// A small remote for quictunnel, written from docs/reference/protocol.md alone: it lets one origin in at a
// time, and opens a stream for each client that comes to its outside port.
//
// It is here to show that the document suffices. It has one service, sends no Retry, keeps no client
// waiting for an origin, and does not ask whether a link is silent.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
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
	service      = "default"
	hold         = 15 * time.Minute
	askAfter     = 6 * time.Second
	helloWithin  = 5 * time.Second
	failedProof  = time.Second     // until it is answered
	closedWithin = 2 * time.Second // by an origin that was refused
)

// remote is the whole program.
type remote struct {
	token    wire.Token
	instance string
	outside  *net.TCPListener

	mutex      sync.Mutex
	current    *link.Link // of the origin that serves, or nil
	who        string     // that origin's token and name
	isDraining bool       // new links are closed
}

func main() {
	listen, out, tokenFile, grace := "", "", "", time.Duration(0)
	flag.StringVar(&listen, "listen", ":9001", "the UDP address for origins")
	flag.StringVar(&out, "outside", ":9000", "the TCP address for clients")
	flag.StringVar(&tokenFile, "token-file", "", "the file that holds the token")
	flag.DurationVar(&grace, "grace", 30*time.Second, "for the clients that are present at the end")
	flag.Parse()
	if err := run(listen, out, tokenFile, grace); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func run(listen, out, tokenFile string, grace time.Duration) error {
	token, err := wire.ReadToken(tokenFile)
	if err != nil {
		return err
	}
	security, err := link.ServerTLS()
	if err != nil {
		return err
	}
	links, err := quic.ListenAddr(listen, security, &quic.Config{
		Versions:              []quic.Version{quic.Version1},
		MaxIdleTimeout:        hold,
		KeepAlivePeriod:       askAfter,
		MaxIncomingStreams:    1, // the control stream
		MaxIncomingUniStreams: -1,
	})
	if err != nil {
		return err
	}
	clients, err := net.Listen("tcp", out)
	if err != nil {
		return err
	}
	r := &remote{token: token, instance: randomHex(), outside: clients.(*net.TCPListener)}
	fmt.Printf("ready: origins connect to UDP %v, clients to TCP %v\n", links.Addr(), clients.Addr())
	go r.acceptClients()
	go r.acceptLinks(links)
	leave, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-leave.Done()
	clients.Close()
	r.mutex.Lock()
	last := r.current
	r.isDraining = true
	r.mutex.Unlock()
	if last != nil {
		last.SayGoodbye("the remote is shutting down", grace)
		<-last.Conn.Context().Done()
	}
	return links.Close()
}

func (r *remote) acceptLinks(links *quic.Listener) {
	for {
		conn, err := links.Accept(context.Background())
		if err != nil {
			return
		}
		go r.serve(conn)
	}
}

// refusal is an answer to a hello that is not accepted.
type refusal struct {
	code quic.ApplicationErrorCode
	text string
}

func (r refusal) Error() string { return r.text }

// serve greets an origin and serves its link to the end.
func (r *remote) serve(conn *quic.Conn) {
	// quic-go hands a connection out when the handshake is complete.
	timely, done := context.WithTimeout(conn.Context(), helloWithin)
	defer done()
	control, err := conn.AcceptStream(timely)
	if err != nil {
		conn.CloseWithError(wire.HelloTimeout, "no hello in time")
		return
	}
	control.SetReadDeadline(time.Now().Add(helloWithin))
	hello, err := wire.Receive(control)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		conn.CloseWithError(wire.HelloTimeout, "no hello in time")
		return
	case err != nil || hello.Type != "hello":
		conn.CloseWithError(wire.ProtocolViolation, "no hello")
		return
	}
	control.SetReadDeadline(time.Time{})
	r.mutex.Lock()
	isDraining := r.isDraining
	r.mutex.Unlock()
	if isDraining {
		conn.CloseWithError(wire.Goodbye, "the remote is shutting down")
		return
	}
	l, who := link.New(conn, control), *hello.TokenID+" "+*hello.Name
	if err := r.welcome(l, who, hello); err != nil {
		log.Printf("refused %q: %v", who, err)
		refuse(conn, control, err)
		return
	}
	log.Printf("origin in %q agent=%q", who, *hello.Agent)
	log.Printf("origin out %q: %v", who, l.Listen())
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.current == l {
		r.current = nil
	}
}

// welcome answers a good hello, and lets its link take over.
func (r *remote) welcome(l *link.Link, who string, hello wire.Message) error {
	exporter, err := wire.Exporter(l.Conn.ConnectionState().TLS)
	if err != nil {
		return err
	}
	if err := r.check(hello, exporter); err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.current != nil && r.who != who {
		return refusal{wire.ServiceTaken, "the service is served by another origin"}
	}
	proof, address, held := r.token.Proof(wire.Remote, exporter), r.outside.Addr().String(), hold.Seconds()
	if hello.Hold != nil {
		held = min(held, *hello.Hold)
	}
	granted := []wire.Service{{Name: service, Address: &address}}
	err = wire.Send(l.Control, wire.Message{
		Type: "welcome", Proof: &proof, Instance: &r.instance, Services: &granted, Hold: &held,
	})
	if err != nil {
		return err
	}
	if r.current != nil {
		r.current.Conn.CloseWithError(wire.TakenOver, "taken over by a newer link")
	}
	r.current, r.who = l, who
	return nil
}

// check goes through what can be wrong with a hello, in the document's order.
func (r *remote) check(hello wire.Message, exporter []byte) error {
	if *hello.Version != 1 {
		return refusal{wire.BadVersion, "this remote speaks version 1"}
	}
	if *hello.TokenID == "" {
		time.Sleep(failedProof)
		return refusal{wire.NoToken, "this remote wants a token"}
	}
	if *hello.TokenID != r.token.ID || !r.token.Proves(*hello.Proof, wire.Origin, exporter) {
		time.Sleep(failedProof)
		return refusal{wire.BadToken, "the remote does not accept this token"}
	}
	for _, offered := range *hello.Services {
		if offered.Name == service {
			return nil
		}
	}
	return refusal{wire.NotAllowed, "none of the services is known here"}
}

// refuse says why, and closes the link if the origin does not.
func refuse(conn *quic.Conn, control *quic.Stream, why error) {
	var known refusal
	if !errors.As(why, &known) {
		conn.CloseWithError(wire.NoError, why.Error())
		return
	}
	code := uint64(known.code)
	wire.Send(control, wire.Message{Type: "refused", Code: &code, Text: &known.text})
	control.Close()
	select {
	case <-conn.Context().Done():
	case <-time.After(closedWithin):
		conn.CloseWithError(known.code, known.text)
	}
}

func (r *remote) acceptClients() {
	for {
		tcp, err := r.outside.AcceptTCP()
		if err != nil {
			return
		}
		r.mutex.Lock()
		l := r.current
		r.mutex.Unlock()
		if l == nil || l.IsLeaving() {
			link.Cut(tcp)
			continue
		}
		go client(l, tcp)
	}
}

// client opens a stream for a client and serves it.
func client(l *link.Link, tcp *net.TCPConn) {
	stream, err := l.Conn.OpenStreamSync(l.Conn.Context())
	if err != nil {
		link.Cut(tcp)
		return
	}
	l.Serve(stream, func() {
		who := wire.Preamble{
			Client: addrPort(tcp.RemoteAddr()), Outside: addrPort(tcp.LocalAddr()),
			Service: service, ID: []byte(randomHex()),
		}
		if _, err := stream.Write(who.Bytes()); err != nil {
			link.Reset(stream, wire.ClientReset)
			link.Cut(tcp)
			return
		}
		link.Run(stream, tcp, wire.ClientReset)
	})
}

func addrPort(address net.Addr) netip.AddrPort {
	found := address.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(found.Addr().Unmap(), found.Port())
}

func randomHex() string {
	var id [8]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
