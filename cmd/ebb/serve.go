package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server"
	"github.com/seed4d217819/ebb/server/metrics"
)

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer programs over HTTP, in the APIs that they speak already",
		Long: `Serve answers programs that speak the APIs of OpenAI (/v1/chat/completions,
/v1/completions, /v1/responses), Anthropic (/v1/messages) or Ollama (/api/chat,
/api/generate), and has a page for people. docs/server.md says what of the APIs is there,
and how clients are set up.

What was computed of a conversation is kept, and its next turn computes what is new. With
--cache-dir that outlives the server, and what memory has no room for. What does not fit
the device streams as with ebb run: the same flags say where K/V are.

Without --api-key everybody who reaches the address may use the server, so it listens
on this machine alone unless --listen says otherwise. GET /health says whether the model
is loaded, and GET /metrics counts for Prometheus.

Ctrl-C or SIGTERM ends the server when its answers have ended, or after --drain; a second
one ends it at once.`,
		Example: `  ebb serve -m model.gguf
  ebb serve -m hf://owner/repo:Q4_K_M --context 65536
  ebb serve -m model.gguf --cache-dir ~/.cache/ebb/kept:20GiB
  ebb serve -m model.gguf --listen 0.0.0.0:8080 --api-key-file keys.txt
  ebb serve -m small=small.gguf -m large=large.gguf
  ebb serve -m model.gguf --listen unix:/run/ebb.sock
  curl http://127.0.0.1:8080/v1/chat/completions \
      -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'`,
		Args: noArguments,
		RunE: f.run,
	}
	f.register(cmd)
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command, _ []string) (err error) {
	if f.helpDebug {
		return printDebugFlags(cmd)
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	if err := f.engine.configure(cmd, &ebb.GenerationConfig{}); err != nil {
		return err
	}
	keys, err := f.readKeys()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	notes := cmd.ErrOrStderr()
	log := f.logger(notes)
	counts := metrics.New()
	sources, err := f.sources(ctx, counts.Step, notes, log)
	if err != nil {
		return err
	}
	listeners, err := f.open()
	if err != nil {
		return err
	}
	models := server.NewModels(0, log, sources...)
	dir, bytes, err := f.responses()
	if err != nil {
		closeAll(listeners)
		return err
	}
	s, err := server.New(server.Options{
		Responses: dir, ResponseBytes: bytes,
		Models: models, Keys: keys, Private: private(listeners), Origins: f.origins, Log: log, Drain: f.drain, Metrics: counts,
	})
	if err != nil {
		closeAll(listeners)
		return err
	}
	if len(keys) == 0 && !private(listeners) {
		printNotes(notes, []string{"there is no --api-key: everybody who reaches this machine over the network can use the model"})
	}
	return f.serve(ctx, s, models, listeners, notes)
}

// serve serves until ctx is done. It begins to listen before the first model is loaded, so that whoever
// starts programs that need it can ask for its health.
func (f *serveFlags) serve(ctx context.Context, s *server.Server, models *server.Models, listeners []net.Listener, notes io.Writer) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	serving := make(chan error, 1)
	go func() { serving <- s.Serve(ctx, listeners...); end() }()
	defer func() {
		end()
		err = errors.Join(err, <-serving, server.Notify("STOPPING=1"), models.Close())
	}()
	switch err := models.Load(ctx); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	s.Ready()
	models.Peek(func(l server.Loaded) { f.report(notes, l, listeners) })
	if err := server.Notify("READY=1"); err != nil {
		return err
	}
	<-ctx.Done()
	return server.Notify("STOPPING=1")
}

// open listens.
func (f *serveFlags) open() (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(listeners)
		}
	}()
	if len(f.listen) == 0 {
		if listeners, err = server.Activated(); err != nil {
			return nil, err
		}
		if len(listeners) == 0 {
			f.listen = []string{defaultListen}
		}
	}
	for _, address := range f.listen {
		l, err := server.Listen(address)
		if err != nil {
			return listeners, fmt.Errorf("--listen %s: %w", address, err)
		}
		listeners = append(listeners, l)
	}
	if f.cert == "" {
		return listeners, nil
	}
	for i, l := range listeners {
		if listeners[i], err = server.Encrypt(l, f.cert, f.key); err != nil {
			listeners[i] = l
			return listeners, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", f.cert, f.key, err)
		}
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // nobody has used it
	}
}

// private reports whether all listeners are reached from this machine alone.
func private(listeners []net.Listener) bool {
	for _, l := range listeners {
		if !server.IsPrivate(l) {
			return false
		}
	}
	return true
}
