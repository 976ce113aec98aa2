package store

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZapLogger returns a logger for etcd that hands warnings and errors to a
// slog.Logger; what is below them is about etcd's own workings.
func newZapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(slogCore{log})
}

// quiet are warnings that say nothing about an embedded, lone, freshly started
// member.
var quiet = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true, // there are none
	"simple token is not cryptographically signed":                                         true, // authentication is not used
	"Failed to detect schema version":                                                      true, // tried again later
	"failed to update storage version":                                                     true, // likewise
}

// slogCore is a zapcore.Core that writes to a slog.Logger.
type slogCore struct{ log *slog.Logger }

func slogLevel(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelError
	}
	return slog.LevelWarn
}

func (c slogCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && c.log.Enabled(context.Background(), slogLevel(l))
}

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.log.With(slogArgs(fields)...)}
}

func (c slogCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && !quiet[e.Message] {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), slogLevel(e.Level), "etcd: "+e.Message, slogArgs(fields)...)
	return nil
}

func (slogCore) Sync() error { return nil }

func slogArgs(fields []zapcore.Field) []any {
	encoder := zapcore.NewMapObjectEncoder()
	args := make([]any, 0, len(fields))
	for _, f := range fields {
		f.AddTo(encoder)
	}
	for k, v := range encoder.Fields {
		args = append(args, slog.Any(k, v))
	}
	return args
}
