package session

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"ringway/command"
	"ringway/resp"
)

// Requests that one Redis would queue, and this pool can't execute in a transaction, are
// answered with +QUEUED, and EXEC fails with the reason. Client libraries that get an error
// between MULTI and EXEC may give up without DISCARD, and then take +QUEUED, the reply to all
// that follows, for a success (docs/adr/0032-transactions-on-several-shards.md). Errors that
// Redis itself gives to a request between MULTI and EXEC are given at once.

// refuse has EXEC fail, and give the reason.
func (tx *transaction) refuse(reason string) {
	tx.failed = true
	tx.reason = cmp.Or(tx.reason, reason) // later ones may be consequences of the first
	tx.first.unit, tx.parts, tx.entries = nil, nil, nil
}

// refuseQueued answers a request of the open transaction that the pool's configuration does
// not permit. refusal is the error reply that it gets outside of a transaction.
func (s *session) refuseQueued(refusal []byte) {
	s.tx.refuse(string(bytes.TrimSuffix(refusal[1:], []byte("\r\n"))))
	s.reply(replyQueued)
}

// refuseNested answers MULTI or WATCH inside MULTI. Redis answers with the given error and executes the rest of the
// transaction; Valkey has its own words, and the transaction has failed.
func (s *session) refuseNested(cmd *command.Command, ofRedis error) {
	if !s.local.Valkey() {
		s.replyError(ofRedis)
		return
	}
	s.tx.failed = true
	s.replyError(errors.New("ERR Command '" + cmd.Name + "' not allowed inside a transaction"))
}

// aborted returns EXEC's reply for a transaction that has failed. Most client libraries show
// EXEC's error only, so it has the reason.
func (tx *transaction) aborted() []byte {
	if tx.reason == "" {
		return replyAborted
	}
	return resp.AppendError(nil, "EXECABORT Transaction discarded because of: "+tx.reason)
}

// notAllowed returns why a command can't be part of a transaction in this pool.
func (tx *transaction) notAllowed(cmd *command.Command, args [][]byte) error {
	switch cmd.Route {
	case command.Refused, command.NotYet:
		denial := command.AppendDenied(nil, cmd, args)
		return errors.New(string(bytes.TrimSuffix(denial[1:], []byte("\r\n"))))
	case command.AllShards, command.DefaultShard, command.ScanShards:
		return fmt.Errorf("ERR '%s' is not about one shard, and a transaction is executed by one: send it outside of MULTI", cmd.Name)
	}
	return errNoMulti
}

// otherShard returns the error for a request whose keys are not all on the transaction's
// shard. It names two keys that are on different ones.
func (tx *transaction) otherShard(cmd *command.Command, args [][]byte) error {
	a, b := tx.s.crossing(cmd, args)
	if a == nil {
		a = tx.firstKey()
	}
	return tx.withSetting(crossSlot(tx.s.local.Conf(), tx.s.local.Map().Ring(), a, b))
}

// withSetting returns an error about keys on several shards, with the setting that permits
// them, if that would help.
func (tx *transaction) withSetting(err error) error {
	if tx.perShard() {
		return err
	}
	return fmt.Errorf("%w; or want transactions = \"per_shard\" in the pool's configuration", err)
}

// firstKey returns a copy of the first key that is queued, nil if there is none.
func (tx *transaction) firstKey() []byte {
	w := tx.s.w
	defer w.resendParser.Release()
	for rest := tx.first.unit; len(rest) > 0; {
		var state resp.RequestState
		n, err := w.resendParser.Parse(rest, &state, &w.limits)
		if n == 0 || err != nil {
			return nil
		}
		rest = rest[n:]
		args := w.resendParser.Args
		cmd, problem := command.Lookup(args)
		if problem != command.NoProblem || !cmd.ArityOK(len(args)) {
			continue
		}
		keys, err := cmd.Keys(args, w.keys[:0])
		if w.keys = keys[:0]; err == nil && len(keys) > 0 {
			return clipped(args[keys[0]])
		}
	}
	return nil
}
