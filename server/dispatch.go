package server

import (
	"errors"

	"ringway/command"
	"ringway/hashring"
	"ringway/pipeline"
	"ringway/resp"
)

// forward sends a request whole to the shard that owns its keys. Like handle,
// it reports false if the request must wait.
func (s *session) forward(cmd *command.Command, args [][]byte, raw []byte) bool {
	server := 0
	if cmd.SoleKey > 0 {
		server = s.local.Ring().Index(args[cmd.SoleKey])
	} else {
		if cmd.IsBlocking() && cmd.Blocks(args) {
			return s.block(cmd, args, raw)
		}
		var err error
		if server, err = s.owner(cmd, args); err != nil {
			s.replyError(err)
			return true
		}
		if cmd.IsScript() {
			return s.runScript(cmd, args, raw, server)
		}
	}
	return s.send(server, raw)
}

func (s *session) send(server int, raw []byte) bool {
	conn := s.local.Conn(server, s.info.id, s.protocol)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	if f := conn.Send(raw, s, number); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// Errors that only a proxy gives, in the style of Redis's.
var (
	errCrossShard = errors.New("CROSSSLOT Keys in request don't hash to the same server; give them a common hash tag")
	errPatterns   = errors.New("ERR BY and GET patterns of SORT reach keys on other servers: not supported by a sharded pool")
	errDatabase   = errors.New("ERR DB index is out of range")
)

// owner returns the server that owns all keys of a request.
func (s *session) owner(cmd *command.Command, args [][]byte) (server int, err error) {
	return s.ownerOn(s.local.Ring(), cmd, args)
}

// ownerOn is owner by a ring that the caller has taken before.
func (s *session) ownerOn(ring *hashring.Ring, cmd *command.Command, args [][]byte) (server int, err error) {
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	servers := s.local.Servers()
	switch reach := cmd.Reach(args); {
	case err != nil && servers > 1:
		return 0, err
	case reach == command.ReachDatabase:
		return 0, errDatabase
	case reach == command.ReachPatterns && servers > 1:
		return 0, errPatterns
	}
	switch {
	case servers == 1: // which also has the right words for a request without proper keys
		return 0, nil
	case cmd.Flags&command.FlagPubSub != 0:
		return channelOwner(ring, cmd, args)
	case len(keys) == 0:
		return s.defaultServer(), nil
	}
	return sameServer(ring, args, keys)
}

func sameServer(ring *hashring.Ring, args [][]byte, keys []int) (server int, err error) {
	server = ring.Index(args[keys[0]])
	for _, k := range keys[1:] {
		if ring.Index(args[k]) != server {
			return 0, errCrossShard
		}
	}
	return server, nil
}

func (s *session) replyError(err error) {
	s.reply(resp.AppendError(s.w.scratch[:0], err.Error()))
}

// resend sends a request that was not sent again, if the ring now names a
// server that may be up. It reports false if there is none.
func (s *session) resend(number uint32, f *pipeline.Failure, request []byte) bool {
	if errors.Is(f, pipeline.ErrTimeout) {
		return false // its time is over wherever it goes
	}
	var state resp.RequestState
	if n, err := s.w.again.Parse(request, &state, &s.w.limits); n == 0 || err != nil {
		return false
	}
	defer s.w.again.Release()
	args := s.w.again.Args
	cmd, problem := command.Lookup(args)
	if problem != command.NoProblem {
		return false
	}
	server, err := s.owner(cmd, args)
	if err != nil {
		return false
	}
	conn := s.local.Conn(server, s.info.id, s.protocol)
	return conn.Up() && !conn.Full() && conn.Send(request, s, number) == nil
}
