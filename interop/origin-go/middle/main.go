// Somebody between an origin and a remote, who ends TLS on both sides and knows no token. What it
// tries must come to nothing (docs/reference/protocol.md, section 4):
//
//	pass     hands every message on as it is, to the remote that it dials
//	reflect  answers the hello itself, and shows the origin's own proof to it
//	guess    answers the hello itself, with a proof made from a secret of its own
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"

	"github.com/quic-go/quic-go"

	"quictunnel/interop/origin-go/link"
	"quictunnel/interop/origin-go/wire"
)

func main() {
	remote := flag.String("remote", "", "the remote, HOST:PORT")
	try := flag.String("try", "pass", "pass, reflect or guess")
	flag.Parse()
	security, err := link.ServerTLS()
	if err != nil {
		log.Fatal(err)
	}
	links, err := quic.ListenAddr("127.0.0.1:0", security, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("ready: link udp %v\n", links.Addr())
	for {
		conn, err := links.Accept(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			err := meet(conn, *remote, *try)
			log.Printf("%v; the origin: %v", err, context.Cause(conn.Context()))
		}()
	}
}

func meet(conn *quic.Conn, remote, try string) error {
	control, err := conn.AcceptStream(context.Background())
	if err != nil {
		return err
	}
	if try == "pass" {
		return pass(conn, control, remote)
	}
	hello, err := wire.Receive(control)
	if err != nil {
		return err
	}
	proof := *hello.Proof
	if try == "guess" {
		exporter, err := wire.Exporter(conn.ConnectionState().TLS)
		if err != nil {
			return err
		}
		proof = wire.Token{ID: *hello.TokenID, Secret: "a-guess-at-what-the-secret-is"}.Proof(wire.Remote, exporter)
	}
	instance, hold := "middle", 60.0
	err = wire.Send(control, wire.Message{
		Type: "welcome", Proof: &proof, Instance: &instance, Services: hello.Services, Hold: &hold,
	})
	if err != nil {
		return err
	}
	// A client that the origin must not serve: its stream comes with the welcome.
	stream, err := conn.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	stream.Write(wire.Preamble{Service: "default", ID: []byte("of the middle")}.Bytes())
	stream.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	_, err = io.ReadAll(stream)
	return err
}

// pass joins the control streams of both sides.
func pass(conn *quic.Conn, control *quic.Stream, remote string) error {
	security := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ALPN}}
	other, err := quic.DialAddr(context.Background(), remote, security, nil)
	if err != nil {
		return err
	}
	defer other.CloseWithError(wire.NoError, "")
	onward, err := other.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	go io.Copy(onward, control)
	_, err = io.Copy(control, onward)
	<-conn.Context().Done()
	return err
}
