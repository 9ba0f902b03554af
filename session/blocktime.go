package session

import (
	"strconv"
	"time"

	"ringway/command"
	"ringway/resp"
)

// leastWait is the shortest time that a blocking request is sent again with: 0
// would mean for ever.
const leastWait = time.Millisecond

// shortenWait returns a blocking request that has waited already, with as much
// less time to wait: a client that asks for four seconds gets its answer after
// four, whatever the request met. What waits for ever is returned as it is.
func (w *Worker) shortenWait(request []byte, waited time.Duration) []byte {
	defer w.again.Release()
	var state resp.RequestState
	if n, err := w.again.Parse(request, &state, &w.limits); n != len(request) || err != nil {
		return request
	}
	args := w.again.Args
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
		return request // for ever, or what the server refuses
	}
	left := max(time.Duration(asked*float64(unit))-waited, leastWait)
	shorter := append([][]byte(nil), args...)
	if unit == time.Millisecond {
		shorter[at] = strconv.AppendInt(nil, left.Milliseconds(), 10)
	} else {
		shorter[at] = strconv.AppendFloat(nil, left.Seconds(), 'f', 3, 64)
	}
	return resp.AppendRequest(nil, shorter)
}
