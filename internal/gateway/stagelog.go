package gateway

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/accesslog"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
)

// stageLog is the access log of a stage.
type stageLog struct {
	format accesslog.Format
	file   *linelog.Writer
}

var logLines = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// write writes the line of an exchange that has ended.
func (l *stageLog) write(x *exchange) {
	line := logLines.Get().(*[]byte)
	*line = append(l.format.Append((*line)[:0], x), '\n')
	l.file.Write(*line)
	if cap(*line) <= 16<<10 {
		logLines.Put(line)
	}
}

const timeOfCLF = "02/Jan/2006:15:04:05 -0700"

// AppendContext appends the value of a variable of access logs, which know more
// than mappings do.
func (x *exchange) AppendContext(b []byte, name string) []byte {
	switch name {
	case "status":
		return strconv.AppendInt(b, int64(x.status), 10)
	case "responseLength":
		return strconv.AppendInt(b, x.sent, 10)
	case "responseLatency":
		return strconv.AppendInt(b, x.latency.Milliseconds(), 10)
	case "requestTime":
		return x.start.UTC().AppendFormat(b, timeOfCLF)
	case "requestTimeEpoch":
		return strconv.AppendInt(b, x.start.UnixMilli(), 10)
	case "path":
		if x.stage != nil && x.stage.Name != defaultStage {
			b = append(append(b, '/'), x.stage.Name...)
		}
		return append(b, x.path...)
	case "integrationLatency", "integration.latency":
		if x.integrated {
			b = strconv.AppendInt(b, x.integrationLatency.Milliseconds(), 10)
		}
		return b
	case "integrationStatus", "integration.status", "integration.integrationStatus":
		if x.integrationStatus != 0 {
			b = strconv.AppendInt(b, int64(x.integrationStatus), 10)
		}
		return b
	case "integrationErrorMessage", "integration.error":
		if x.integrated {
			b = append(b, x.cause...)
		}
		return b
	case "error.message":
		return append(b, x.errorMessage...)
	case "error.responseType":
		return append(b, x.responseType()...)
	case "deploymentId":
		if x.stage != nil {
			b = append(b, x.stage.Deployment...)
		}
		return b
	case "awsEndpointRequestId", "integration.requestId":
		return append(b, x.endpointIDs[0]...)
	case "awsEndpointRequestId2":
		return append(b, x.endpointIDs[1]...)
	case "xrayTraceId":
		return append(b, rootOf(x.traceID)...)
	case "tlsVersion":
		if c := x.request.TLS; c != nil {
			b = append(b, sslpolicy.Version(c.Version)...)
		}
		return b
	case "cipherSuite":
		if c := x.request.TLS; c != nil {
			b = append(b, sslpolicy.Cipher(c.CipherSuite)...)
		}
		return b
	}
	value, _ := x.Context(name)
	return append(b, value...)
}

// responseType is AWS's name of the failure, if the exchange is one.
func (x *exchange) responseType() string {
	if x.failure == noRoute && x.api != nil && x.api.Kind == config.HTTP {
		return "RESOURCE_NOT_FOUND"
	}
	return responseTypes[x.failure]
}

// logFiles are the files of stages' access logs, by path.
type logFiles struct {
	dir  *os.Root // nil: there are none
	open map[string]*logFile
}

type logFile struct {
	*linelog.Writer
	unused time.Time // since when no stage has it; zero if one has
}

// closeAfter is how long a file is kept for requests that were under way when
// the configuration had it last. It is closed by the next configuration after
// that.
const closeAfter = time.Minute

// use gives the stages of a snapshot their logs. Stages may share a file.
func (f *logFiles) use(s *snapshot, now time.Time, log *slog.Logger) (problems []error) {
	used := map[string]bool{}
	for _, a := range s.apis {
		for _, st := range a.stages {
			switch to := st.AccessLog; {
			case to == nil:
			case f.dir == nil:
				problems = append(problems, fmt.Errorf("write access log of stage %s of API %s: isthmus serve has no --access-log-dir", st.Name, a.ID))
			default:
				file := f.open[to.Path]
				if file == nil {
					file = &logFile{Writer: linelog.New(linelog.File(f.dir, to.Path), log)}
					f.open[to.Path] = file
				}
				used[to.Path], file.unused = true, time.Time{}
				st.log = &stageLog{accesslog.Parse(to.Format), file.Writer}
			}
		}
	}
	for path, file := range f.open {
		switch {
		case used[path]:
		case file.unused.IsZero():
			file.unused = now
		case now.Sub(file.unused) > closeAfter:
			delete(f.open, path)
			go file.Close() // which may wait for the disk
		}
	}
	return problems
}

// close returns when everything is written.
func (f *logFiles) close() {
	for _, file := range f.open {
		file.Close()
	}
	clear(f.open)
}
