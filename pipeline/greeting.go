package pipeline

import (
	"bytes"
	"fmt"
	"strconv"

	"ringway/resp"
)

// greet sends AUTH, HELLO and SELECT. Requests are held until both are answered: one
// that overtook a refused SELECT would go to the wrong database.
func (c *Conn) greet() {
	c.state, c.unmet = greeting, 0
	var b []byte
	selectDB := func() {
		if c.cfg.DB != 0 {
			b = resp.AppendRequest(b, [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, int64(c.cfg.DB), 10)})
			c.unmet++
		}
	}
	if c.cfg.SelectAs != nil {
		b = resp.AppendRequest(b, authRequest(c.cfg.SelectAs))
		c.unmet++
		selectDB()
	}
	if c.cfg.Auth != nil {
		b = resp.AppendRequest(b, c.cfg.auth())
		c.unmet++
	}
	if c.cfg.Protocol != resp.RESP2 {
		b = resp.AppendRequest(b, [][]byte{[]byte("HELLO"), strconv.AppendInt(nil, int64(c.cfg.Protocol.Version()), 10)})
		c.unmet++
	}
	if c.cfg.SelectAs == nil {
		selectDB()
	}
	if c.cfg.Replica {
		b = resp.AppendRequest(b, [][]byte{[]byte("READONLY")})
		c.unmet++
	}
	if !c.cfg.greets() {
		// A server may refuse our certificate after TLS's handshake is done, and in
		// front of one that is dead something may accept connections: no request is
		// written before something came back, whatever it is.
		b = resp.AppendRequest(b, [][]byte{[]byte("PING")})
		c.unmet++
	}
	c.conn.Append(b)
	c.attempt.After(c.cfg.ConnectTimeout)
}

// greeted handles the reply to AUTH, HELLO or SELECT.
func (c *Conn) greeted(reply []byte) {
	if reply[0] == '-' && c.cfg.greets() {
		c.disconnect()
		c.attemptFailed(fmt.Errorf("%w: %s", ErrHandshake, bytes.TrimSpace(reply[1:])))
		return
	}
	if c.unmet--; c.unmet == 0 {
		c.attempt.Stop()
		c.open()
	}
}
