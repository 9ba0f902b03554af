package logqueue_test

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"ringway/internal/logqueue"
)

func Example() {
	q := logqueue.New(os.Stdout, 1<<20, func(lines int64) []byte {
		return fmt.Appendf(nil, "%d lines dropped\n", lines)
	})
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(q, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	log.Info("listening", "pool", "alpha")
	if !q.Close(time.Second) {
		fmt.Println("the log's reader is stuck")
	}
	// Output: level=INFO msg=listening pool=alpha
}
