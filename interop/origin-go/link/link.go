package link

import (
	"context"
	"errors"
	"io"
	"log"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quictunnel/interop/origin-go/wire"
)

const (
	farewell  = 2 * time.Second // for the last words of a link
	patience  = 4 * time.Second // beyond the grace that the other end gives
	longGrace = time.Hour       // the longest grace that is believed
)

// Link is one end of a link that was welcomed.
type Link struct {
	Conn    *quic.Conn
	Control *quic.Stream

	mutex    sync.Mutex
	clients  map[*quic.Stream]struct{}
	isLeft   bool      // either end has said goodbye
	wasFirst bool      // it was this end
	finished bool      // our direction of the control stream has ended
	until    time.Time // when the clients that are left are cut short
	changed  *sync.Cond
}

// New makes the end of a link whose greeting is over.
func New(conn *quic.Conn, control *quic.Stream) *Link {
	link := &Link{Conn: conn, Control: control, clients: map[*quic.Stream]struct{}{}}
	link.changed = sync.NewCond(&link.mutex)
	return link
}

// Serve counts a client in, runs what serves it, and counts it out.
func (l *Link) Serve(stream *quic.Stream, serve func()) {
	l.mutex.Lock()
	l.clients[stream] = struct{}{}
	l.mutex.Unlock()
	serve()
	l.mutex.Lock()
	delete(l.clients, stream)
	l.finishIfIdle()
	l.mutex.Unlock()
}

// Count returns how many clients are present.
func (l *Link) Count() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.clients)
}

// IsLeaving tells whether either end has said goodbye.
func (l *Link) IsLeaving() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.isLeft
}

// SayGoodbye begins to take leave; Listen ends when that is done.
func (l *Link) SayGoodbye(reason string, grace time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.wasFirst || l.finished {
		return
	}
	seconds := grace.Seconds()
	wire.Send(l.Control, wire.Message{Type: "goodbye", Reason: &reason, Grace: &seconds})
	l.wasFirst = true
	l.leave(grace)
}

// leave is called with the mutex held.
func (l *Link) leave(grace time.Duration) {
	l.isLeft = true
	l.until = time.Now().Add(grace)
	time.AfterFunc(grace, l.cutShort)
	l.finishIfIdle()
}

// finishIfIdle is called with the mutex held.
func (l *Link) finishIfIdle() {
	if l.isLeft && !l.finished && len(l.clients) == 0 {
		l.finished = true
		l.Control.Close()
	}
	l.changed.Broadcast()
}

// cutShort resets the clients for whom the grace was too short, and closes the link soon.
func (l *Link) cutShort() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if time.Now().Before(l.until) {
		return
	}
	for stream := range l.clients {
		Reset(stream, wire.CutShort)
	}
	time.AfterFunc(farewell, func() { l.Conn.CloseWithError(wire.Goodbye, "goodbye") })
}

// Listen reads the control stream until the link has ended, and returns how it ended.
func (l *Link) Listen() error {
	err := l.listen()
	if errors.Is(err, wire.ErrViolation) {
		l.Conn.CloseWithError(wire.ProtocolViolation, err.Error())
	}
	<-l.Conn.Context().Done()
	return context.Cause(l.Conn.Context())
}

func (l *Link) listen() error {
	for {
		message, err := wire.Receive(l.Control)
		if err == io.EOF && l.IsLeaving() {
			l.bothEnded()
			return nil
		}
		if err != nil {
			// Before any goodbye, or by a reset: a violation, unless the link itself is gone.
			if l.Conn.Context().Err() == nil && !errors.Is(err, wire.ErrViolation) {
				err = errors.Join(wire.ErrViolation, err)
			}
			return err
		}
		switch message.Type {
		case "services":
			log.Printf("services=%d", len(*message.Services))
		case "goodbye":
			log.Printf("goodbye reason=%q grace=%v", *message.Reason, *message.Grace)
			l.hearGoodbye(time.Duration(*message.Grace * float64(time.Second)))
		default:
			return errors.Join(wire.ErrViolation, errors.New(message.Type+" after the greeting"))
		}
	}
}

func (l *Link) hearGoodbye(grace time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.isLeft {
		l.leave(min(grace, longGrace) + patience)
	}
}

// bothEnded closes the link once our direction of the control stream has ended as well: at once where
// this end said goodbye, else when the other one has had its time to do it. A client may still be
// here whose bytes have all come, but are not all with its TCP connection.
func (l *Link) bothEnded() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for !l.finished || len(l.clients) > 0 {
		l.changed.Wait()
	}
	wait := farewell
	if l.wasFirst {
		wait = 0
	}
	time.AfterFunc(wait, func() { l.Conn.CloseWithError(wire.Goodbye, "goodbye") })
}
