package mover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringway/conf"
	"ringway/hashring"
)

// A Pool is a pool's ring and its servers, as one Open has found them. It belongs to one goroutine; Owner may
// be called from any.
type Pool struct {
	Conf    *conf.Pool
	Servers []*Server // in the order of the ring

	ctx   context.Context
	ring  *hashring.Ring
	runID []string // of each server of the ring
}

// A Server is one server of a Pool, and what it said of itself when it was opened.
type Server struct {
	conf.Server
	RunID string // of the process when it was opened; two addresses with one run ID are one server

	info map[string]string // INFO's fields
	c    *conn
}

// reserved begins the names of keys that are no data: the records that instances agree by.
const reserved = "{ringway}:"

// isReserved reports whether a key is no data of clients.
func isReserved(key string) bool { return strings.HasPrefix(key, reserved) }

// Open connects to all servers of a pool, which must be of topology static, with a distribution that gives keys a
// place. The connections end with ctx or Close.
func Open(ctx context.Context, p *conf.Pool) (*Pool, error) {
	switch {
	case p.Topology != "" && p.Topology != conf.Static:
		return nil, fmt.Errorf("pool %s has topology %s; only the keys of static pools can be looked at yet", p.Name, p.Topology)
	case p.Distribution == "random" && len(p.Servers) > 1:
		return nil, fmt.Errorf("pool %s has the distribution random, under which keys have no place", p.Name)
	}
	ring, err := hashring.New(p.Ring())
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", p.Name, err)
	}
	opened := &Pool{Conf: p, ctx: ctx, ring: ring}
	for i := range p.Servers {
		s, err := openServer(ctx, p, &p.Servers[i])
		if err != nil {
			opened.Close()
			return nil, fmt.Errorf("pool %s: %w", p.Name, err)
		}
		opened.Servers = append(opened.Servers, s)
		opened.runID = append(opened.runID, s.RunID)
	}
	return opened, nil
}

func openServer(ctx context.Context, p *conf.Pool, at *conf.Server) (*Server, error) {
	c, err := dial(ctx, p, at)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", at.Name, err)
	}
	s := &Server{Server: *at, c: c}
	if err := s.learn(); err != nil {
		c.close()
		return nil, fmt.Errorf("server %s: %w", at.Name, err)
	}
	return s, nil
}

// learn reads what the server says of itself.
func (s *Server) learn() error {
	info, err := s.c.text("INFO")
	if err != nil {
		return err
	}
	s.info = map[string]string{}
	for r := bufio.NewScanner(strings.NewReader(info)); r.Scan(); {
		if name, value, ok := strings.Cut(r.Text(), ":"); ok {
			s.info[name] = value
		}
	}
	if s.RunID = s.info["run_id"]; s.RunID == "" {
		return errors.New("INFO tells no run_id, by which servers are known")
	}
	return nil
}

// number returns a field of INFO that is a number, 0 if there is none.
func (s *Server) number(field string) int64 {
	n, _ := strconv.ParseInt(s.info[field], 10, 64)
	return n
}

// Close ends the connections.
func (p *Pool) Close() {
	for _, s := range p.Servers {
		s.c.close()
	}
}

// Owner returns the run ID of the server that has a key. Any goroutine may call it.
func (p *Pool) Owner(key []byte) string { return p.runID[p.ring.Index(key)] }

// byRunID returns the first server with a run ID.
func (p *Pool) byRunID(id string) *Server {
	for _, s := range p.Servers {
		if s.RunID == id {
			return s
		}
	}
	return nil
}

// distinct returns the pool's servers, each once.
func (p *Pool) distinct() (servers []*Server) {
	for _, s := range p.Servers {
		if p.byRunID(s.RunID) == s {
			servers = append(servers, s)
		}
	}
	return servers
}

// reaches reports whether clients of the pool can use a database.
func (p *Pool) reaches(db int64) bool {
	if p.Conf.Databases <= 1 {
		return db == int64(p.Conf.RedisDB)
	}
	return db < int64(p.Conf.Databases)
}

// databases returns the numbers of the databases that have keys now and that clients of the pool can use, ascending.
func (p *Pool) databases(c *conn) (dbs []int64, err error) {
	info, err := c.text("INFO", "keyspace")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(info) {
		name, _, ok := strings.Cut(line, ":keys=")
		if !ok {
			continue
		}
		db, err := strconv.ParseInt(strings.TrimPrefix(name, "db"), 10, 64)
		if err == nil && p.reaches(db) {
			dbs = append(dbs, db)
		}
	}
	slices.Sort(dbs)
	return dbs, nil
}

// scanCount is how many keys one SCAN asks for: some 0.3 ms of the server's time.
const scanCount = 500

// scan calls take with all keys of a database, some at a time, over c. Keys that stay there come once or more
// often; reserved ones are left out. The slice is take's. Take may use c.
func scan(c *conn, db int64, take func(keys []string) error) error {
	for cursor := "0"; ; {
		if err := c.selectDB(db); err != nil {
			return err
		}
		reply, err := c.do("SCAN", cursor, "COUNT", strconv.Itoa(scanCount))
		if err != nil {
			return err
		}
		next, keys, err := scanned(reply)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := take(keys); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "0" {
			return nil
		}
	}
}
