package session

import (
	"strconv"
	"time"

	"ringway/command"
	"ringway/resp"
)

// minWait is the shortest timeout with which a blocking request is sent again: 0 would mean
// no timeout.
const minWait = time.Millisecond

// shortenWait returns a copy of a blocking request whose timeout is shorter by waited, the
// time that it has already been blocked: a client that asks for four seconds gets its reply
// after four, even if the request was sent again after a failover. A request without a
// timeout, or which is no valid blocking request, is returned as it is.
func (w *Worker) shortenWait(request []byte, waited time.Duration) []byte {
	defer w.resendParser.Release()
	var state resp.RequestState
	if n, err := w.resendParser.Parse(request, &state, &w.limits); n != len(request) || err != nil {
		return request
	}
	args := w.resendParser.Args
	cmd, problem := command.Lookup(args)
	if problem != command.NoProblem {
		return request
	}
	at, unit := cmd.BlockingTime(args)
	if at == 0 {
		return request
	}
	asked, err := strconv.ParseFloat(string(args[at]), 64)
	if err != nil || asked <= 0 || asked > float64(time.Duration(1<<62)/unit) {
		return request // no timeout, or one that the server refuses
	}
	left := max(time.Duration(asked*float64(unit))-waited, minWait)
	shorter := append([][]byte(nil), args...)
	if unit == time.Millisecond {
		shorter[at] = strconv.AppendInt(nil, left.Milliseconds(), 10)
	} else {
		shorter[at] = strconv.AppendFloat(nil, left.Seconds(), 'f', 3, 64)
	}
	return resp.AppendRequest(nil, shorter)
}
