package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/url"
	"time"

	"github.com/quic-go/quic-go"

	"quictunnel/interop/origin-go/path"
	"quictunnel/interop/origin-go/wire"
)

const (
	websocketAfter = 500 * time.Millisecond // the start of UDP's attempt
	askWithin      = time.Second            // how often a link that may move pings
	silentAfter    = 2 * time.Second        // without a packet from the remote
	probeEvery     = 2 * time.Second        // while UDP does not answer
	probeSoon      = 500 * time.Millisecond // while it does
	steadyFor      = 5 * time.Second        // UDP has answered every probe for so long
	moveWithin     = 10 * time.Second
	lookEvery      = 100 * time.Millisecond
	most           = 5 * time.Minute // between two tries to return
)

// paths are the two ways to a remote. Either may carry the link; quic-go needs a transport for each.
type paths struct {
	via           string
	peer          net.Addr
	websocket     *path.WebSocket // nil: there is only UDP
	carried       *quic.Transport
	udp           *quic.Transport
	overUDP       *quic.Path
	overWebSocket *quic.Path
	isPrepared    bool // the path over the WebSocket is validated
	onUDP         bool
}

// newPaths prepares both without sending anything.
func (o *origin) newPaths() (*paths, error) {
	p := &paths{via: o.via}
	peer, err := net.ResolveUDPAddr("udp", o.remote)
	if err != nil && o.via != "websocket" {
		return nil, err
	}
	if err != nil { // a proxy may know the name
		peer = &net.UDPAddr{IP: net.ParseIP("100::1"), Port: 443}
	}
	p.peer = peer
	if o.websocket != "" && o.via != "udp" {
		var proxy *url.URL
		if o.proxy != "" {
			if proxy, err = url.Parse(o.proxy); err != nil {
				return nil, err
			}
		}
		p.websocket = path.NewWebSocket(o.websocket, proxy, peer)
		p.carried = &quic.Transport{Conn: p.websocket}
	}
	socket, err := path.ListenUDP()
	if err != nil {
		return nil, err
	}
	p.udp = &quic.Transport{Conn: socket}
	return p, nil
}

// close ends both. The link must have ended.
func (p *paths) close() {
	p.udp.Close()
	p.udp.Conn.Close()
	if p.websocket != nil {
		p.carried.Close()
		p.websocket.Close()
	}
}

// dial makes a link over whichever path completes the handshake first.
func (p *paths) dial(ctx context.Context, security *tls.Config, config *quic.Config) (*quic.Conn, error) {
	if p.websocket == nil {
		p.onUDP = true
		return p.udp.Dial(ctx, p.peer, security, config)
	}
	config = config.Clone()
	config.KeepAlivePeriod = askWithin
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type attempt struct {
		conn  *quic.Conn
		err   error
		onUDP bool
	}
	attempts, running := make(chan attempt, 2), 1
	go func() {
		if p.via == "auto" {
			select {
			case <-time.After(websocketAfter):
			case <-ctx.Done():
			}
		}
		if err := p.websocket.Open(ctx); err != nil {
			attempts <- attempt{nil, err, false}
			return
		}
		conn, err := p.carried.Dial(ctx, p.peer, security, config)
		attempts <- attempt{conn, err, false}
	}()
	if p.via == "auto" {
		running++
		go func() {
			conn, err := p.udp.Dial(ctx, p.peer, security, config)
			attempts <- attempt{conn, err, true}
		}()
	}
	var winner *quic.Conn
	var failures []error
	for range running {
		switch one := <-attempts; {
		case one.err != nil:
			failures = append(failures, one.err)
		case winner != nil:
			one.conn.CloseWithError(wire.NoError, "")
		default:
			winner, p.onUDP = one.conn, one.onUDP
			cancel()
		}
	}
	if winner == nil {
		return nil, errors.Join(failures...)
	}
	if p.onUDP {
		p.websocket.Shut()
	}
	return winner, nil
}

// name is how logs call the present path.
func (p *paths) name() string {
	if p.onUDP {
		return "udp"
	}
	return "websocket"
}

// watch moves the link to the path that works, until it has ended.
func (p *paths) watch(conn *quic.Conn) {
	if p.websocket == nil || p.via != "auto" {
		return
	}
	if err := p.prepare(conn); err != nil {
		log.Printf("no other path: %v", err)
		return
	}
	var count uint64
	heard, steady := time.Now(), steadyFor
	for sleep(conn, lookEvery) {
		if received := conn.ConnectionStats().PacketsReceived; received != count {
			count, heard = received, time.Now()
		}
		if p.onUDP && time.Since(heard) > silentAfter {
			p.move(conn, false, "silent")
			heard = time.Now()
		} else if !p.onUDP && p.answersSteadily(conn, steady) {
			if !p.move(conn, true, "udp answers") {
				steady = min(2*steady, most)
			}
			heard = time.Now()
		}
	}
}

// answersSteadily probes UDP until it has answered for long enough, or the link has ended.
func (p *paths) answersSteadily(conn *quic.Conn, steady time.Duration) bool {
	since := time.Now()
	for time.Since(since) < steady {
		pause := probeSoon
		if !path.Answers(p.peer) {
			since, pause = time.Now().Add(probeEvery), probeEvery
		}
		if !sleep(conn, pause) {
			return false
		}
	}
	return true
}

// prepare validates the WebSocket as a path before it is needed: when UDP is dropped, the congestion window
// stays full, and quic-go sends no PATH_CHALLENGE.
func (p *paths) prepare(conn *quic.Conn) (err error) {
	if p.overUDP, err = conn.AddPath(p.udp); err != nil {
		return err
	}
	if p.overWebSocket, err = conn.AddPath(p.carried); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(conn.Context(), moveWithin)
	defer cancel()
	if p.onUDP {
		if err := p.websocket.Open(ctx); err != nil {
			log.Printf("websocket not opened: %v", err)
			return nil // move tries again
		}
		defer p.websocket.Shut()
	}
	p.isPrepared = p.overWebSocket.Probe(ctx) == nil
	return nil
}

// move continues the link on the other path, under another connection ID.
func (p *paths) move(conn *quic.Conn, toUDP bool, reason string) bool {
	ctx, cancel := context.WithTimeout(conn.Context(), moveWithin)
	defer cancel()
	var err error
	next, isValidated := p.overUDP, false
	if !toUDP {
		next, isValidated = p.overWebSocket, p.isPrepared
		err = p.websocket.Open(ctx)
	}
	if err == nil && !isValidated {
		err = next.Probe(ctx)
	}
	if err == nil {
		err = next.Switch()
	}
	if toUDP == (err == nil) { // the link is on UDP
		p.websocket.Shut()
	}
	if err != nil {
		log.Printf("move failed: %v", err)
		return false
	}
	p.onUDP = toUDP
	log.Printf("link moved path=%s reason=%q", p.name(), reason)
	return true
}

// sleep returns false when the link has ended.
func sleep(conn *quic.Conn, pause time.Duration) bool {
	select {
	case <-conn.Context().Done():
		return false
	case <-time.After(pause):
		return true
	}
}
