package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/server/anthropic"
	"github.com/seed4d217819/ebb/server/metrics"
	"github.com/seed4d217819/ebb/server/ollama"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/page"
	"github.com/seed4d217819/ebb/server/responses"
	"github.com/seed4d217819/ebb/server/wire"
)

// Options say what a server serves, and to whom.
type Options struct {
	Models *Models
	// Keys are those that clients may show. None: all clients may use the server, but not the pages of
	// others.
	Keys []Key
	// Private says that the server is reached from its own machine alone. Without keys, conversations
	// are shown only then, and the server answers only to addresses and to localhost: a page whose name
	// leads to this machine sends that name.
	Private bool
	// Origins are those of web pages that may use the server, as in https://example.org. "*": all.
	Origins []string
	// Responses is the folder in which the responses of OpenAI's API are kept, for this server alone, and
	// ResponseBytes are how many bytes they may take. "": they are kept in memory. 0: 256 MiB.
	Responses     string
	ResponseBytes int64
	// Log gets a line for each request. nil: none.
	Log *slog.Logger
	// Body is how many bytes the body of a request may have. 0: [wire.DefaultBody].
	Body int64
	// BodyTime is how long the body of a request may take to arrive. 0: a minute.
	BodyTime time.Duration
	// Patience is for how long a client may read nothing of a stream. 0: [wire.DefaultPatience].
	Patience time.Duration
	// Metrics are those that the server counts in. nil: new ones.
	Metrics *metrics.Metrics
	// Drain is how long answers may go on when the server is to end. 0: 30 seconds.
	Drain time.Duration
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New()
	}
	if o.BodyTime == 0 {
		o.BodyTime = time.Minute
	}
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	return o
}

// Server is the handler of all routes. Its models are the caller's, who closes them after [Server.Serve]
// has returned.
type Server struct {
	options Options
	log     *slog.Logger
	origins *origins
	routes  *routes
	handler http.Handler
	state   state
}

var _ http.Handler = (*Server)(nil)

// New makes a server. It answers nothing but its health before [Server.Ready].
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{options: o, log: o.Log, routes: &routes{ServeMux: http.NewServeMux()}}
	var err error
	if s.origins, err = newOrigins(o.Origins, len(o.Keys) == 0, o.Private); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if err := s.mount(); err != nil {
		return nil, err
	}
	s.handler = s.recording(http.HandlerFunc(s.serve))
	return s, nil
}

// mount registers the routes.
func (s *Server) mount() error {
	page.Register(s.routes)
	s.routes.HandleFunc("GET /openapi.yaml", describes)
	s.routes.HandleFunc("GET /health", s.health)
	s.routes.HandleFunc("GET /v1/health", s.health)
	s.routes.Handle("GET /metrics", s.options.Metrics.Handler(s.read))
	s.mountConversations()
	models := recorded{s.options.Models}
	reading := wire.Options{Body: s.options.Body, Patience: s.options.Patience}
	openai.New(models, reading).Register(s.routes)
	stored, err := responses.New(models, responses.Options{
		Options: reading, Dir: s.options.Responses, MaxBytes: s.options.ResponseBytes, Log: s.log,
	})
	if err != nil {
		return err
	}
	stored.Register(s.routes)
	anthropic.New(models, reading).Register(s.routes)
	ollama.New(models, reading).Register(s.routes)
	if len(s.options.Keys) > 0 {
		s.routes.HandleFunc("GET /debug/pprof/", pprof.Index)
		s.routes.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		s.routes.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		s.routes.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return nil
}

var (
	// keyless has the routes that need no key.
	keyless = map[string]bool{"GET /{$}": true, "GET /page/{name}": true, "GET /openapi.yaml": true, "GET /health": true, "GET /v1/health": true}
	// always has those that, beside them, are answered while the server is not ready.
	always = map[string]bool{
		"GET /metrics": true, "GET /debug/pprof/": true, "GET /debug/pprof/profile": true, "GET /debug/pprof/symbol": true, "GET /debug/pprof/trace": true,
	}
)

// retryAfter is after how long a client that was refused may try again.
const retryAfter = 5 * time.Second

// Ready says that the models are loaded, and that requests are answered from now on.
func (s *Server) Ready() { s.state.setReady() }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// serve answers a request that has a record.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	route := r.Context().Value(recordKey{}).(*record).route //nolint:forcetypeassert // it is recording's
	s.limit(w, r, route)                                    // of what is refused, too: net/http reads that body before it answers
	if !s.origins.admit(w, r) {
		return
	}
	if !keyless[route] {
		key, ok := find(s.options.Keys, r)
		if len(s.options.Keys) > 0 && !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, r, http.StatusUnauthorized, "the API key is missing or wrong: send it as Authorization: Bearer KEY or X-Api-Key: KEY")
			return
		}
		r = r.WithContext(wire.WithSalt(r.Context(), key.salt))
	}
	switch {
	case route == "":
		s.refuseRoute(w, r)
	case keyless[route] || always[route]:
		s.routes.ServeHTTP(w, r)
	case s.state.enter():
		defer s.state.leave()
		s.routes.ServeHTTP(w, r)
	default:
		fail(w, r, http.StatusServiceUnavailable, s.state.refusal())
	}
}

// refuseRoute answers a request for which there is no route. One whose path ends with a slash too many is
// sent to the path without it: people write addresses in either way.
func (s *Server) refuseRoute(w http.ResponseWriter, r *http.Request) {
	if path := strings.TrimRight(r.URL.Path, "/"); path != r.URL.Path && path != "" {
		without := r.Clone(r.Context())
		without.URL.Path, without.URL.RawPath = path, ""
		if _, route := s.routes.Handler(without); route != "" {
			http.Redirect(w, r, without.URL.String(), http.StatusTemporaryRedirect)
			return
		}
	}
	methods := s.methods(r)
	if len(methods) == 0 {
		refuse(w, r, wire.NotFound(r))
		return
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	fail(w, r, http.StatusMethodNotAllowed, r.URL.Path+" does not take "+r.Method+": want "+strings.Join(methods, " or "))
}

// methods returns those for which there is a route at the path of a request.
func (s *Server) methods(r *http.Request) (methods []string) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		_, route := s.routes.Handler(other)
		_, path, _ := strings.Cut(route, " ")
		path, _, _ = strings.Cut(path, "{")
		if route != "" && strings.HasPrefix(r.URL.Path, path) { // and not to a folder of the same name
			methods = append(methods, method)
		}
	}
	return methods
}

// limit bounds how long the body of a request may take to arrive. Who writes an answer bounds how
// long a client may take to read it; here that is done for routes that leave it to net/http.
func (s *Server) limit(w http.ResponseWriter, r *http.Request, route string) {
	c := http.NewResponseController(w)
	// The connection may still have the deadlines of the request before. Recorders of tests have none.
	var end time.Time
	if keyless[route] || route == "GET /metrics" {
		end = time.Now().Add(wire.DefaultPatience)
	}
	_ = c.SetWriteDeadline(end)
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(s.options.BodyTime))
	r.Body = &body{r.Body, func() { _ = c.SetReadDeadline(time.Time{}) }}
}

// body ends the deadline of a body when it has arrived: net/http goes on reading the connection, and
// takes a deadline for a client that has gone.
type body struct {
	io.ReadCloser
	arrived func()
}

func (b *body) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err
}

// health says whether requests are answered, in the words of llama-server.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	refusal := s.state.refusal()
	if refusal == "" {
		_ = wire.JSON(w, http.StatusOK, map[string]string{"status": "ok"}) // whoever asked may have gone
		return
	}
	(&wire.Fault{RetryAfter: retryAfter}).Head(w.Header())
	_ = wire.JSON(w, http.StatusServiceUnavailable, map[string]any{
		"error": map[string]any{"message": refusal, "type": "unavailable_error", "code": http.StatusServiceUnavailable},
	})
}

// read reads what the metrics of a moment are.
func (s *Server) read() (r metrics.Reading) {
	r.Running, r.Waiting = s.state.count(), s.options.Models.Waiting()
	r.Loaded = s.options.Models.Peek(func(l Loaded) { r.Engine, r.Service = l.Engine(), l.Stats() })
	return r
}
