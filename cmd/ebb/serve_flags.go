package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/server"
)

// serveFlags are the flags of ebb serve.
type serveFlags struct {
	engine    engineFlags
	models    []string // PATH or NAME=PATH
	name      string
	listen    []string
	keys      []string
	keyFile   string
	origins   []string
	cert, key string // files
	queue     int
	stepTime  int // milliseconds
	drain     time.Duration
	cache     diskPlace
	logFormat string
	helpDebug bool
}

// responsesPart is which part of the bytes of --cache-dir is for responses: they are text, of which a
// token takes a few bytes, and its K/V take thousands.
const responsesPart = 64

// defaultListen is the address of a server that is told none.
const defaultListen = "127.0.0.1:8080"

func (f *serveFlags) register(cmd *cobra.Command) {
	group(cmd, groupDevices, func(flags *pflag.FlagSet) {
		flags.StringArrayVarP(&f.models, "model", "m", nil, modelHelp+" It may be given several times, as NAME=FILE: then one model is loaded at a time.")
		flags.StringVar(&f.name, "name", "", "What clients call the model: its `NAME`. (default the file's name without .gguf)")
	})
	group(cmd, groupServer, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&f.listen, "listen", nil, "Listen on this `ADDRESS`, HOST:PORT or unix:PATH. It may be given several times. (default "+defaultListen+", or the sockets that systemd passes)")
		flags.StringArrayVar(&f.keys, "api-key", nil, "Refuse clients that do not show this `KEY`. It may be given several times; conversations under one key are never used for another one.")
		flags.StringVar(&f.keyFile, "api-key-file", "", "Read more keys from `FILE`, one a line; lines that begin with # are comments.")
		flags.StringArrayVar(&f.origins, "cors", nil, "Let web pages from this `ORIGIN` use the server, as in https://example.org, or * for all. It may be given several times.")
		flags.StringVar(&f.cert, "tls-cert", "", "Speak TLS with the certificate in this `FILE` (PEM), which is read again when it has changed.")
		flags.StringVar(&f.key, "tls-key", "", "The `FILE` with the certificate's key.")
		flags.Var(&parsed[diskPlace]{&f.cache, "", "DIR[:SIZE]", parseDisk}, "cache-dir", "Keep conversations in files in this folder, too, SIZE at most, so that they go on from there after a restart. (default no files; without SIZE half of what is free)")
		flags.IntVar(&f.queue, "max-queue", 64, "Answer, or keep waiting, at most `N` requests at once, and refuse more with status 429.")
		flags.IntVar(&f.stepTime, "max-step-ms", 200, "Compute as much of long prompts at a time as takes about `N` milliseconds: the longest that the other answers stand still.")
		flags.DurationVar(&f.drain, "drain", 30*time.Second, "When the server is to end, let answers go on for this `TIME`, as in 30s.")
		flags.StringVar(&f.logFormat, "log-format", "text", "The `FORMAT` of the log on stderr: text or json.")
	})
	f.engine.registerOptions(cmd)
	listByGroup(cmd, &f.helpDebug, groupDevices, groupServer, groupMemory)
	complete(cmd, "log-format", "text", "json")
}

// check reports flags with impossible values, and flags that contradict each other.
func (f *serveFlags) check(cmd *cobra.Command) error {
	if len(f.models) > 0 {
		_, f.engine.model = splitModel(f.models[0])
	}
	if err := f.engine.check(cmd); err != nil {
		return err
	}
	switch {
	case f.name != "" && len(f.models) > 1:
		return misusef("--name with several models: write -m NAME=FILE for each")
	case (f.cert == "") != (f.key == ""):
		return misusef("--tls-cert and --tls-key belong together: give both or none")
	case f.queue < 1:
		return misusef("--max-queue %d: want at least 1", f.queue)
	case f.stepTime < 1:
		return misusef("--max-step-ms %d: want at least 1", f.stepTime)
	case f.drain <= 0:
		return misusef("--drain %v: want more than 0", f.drain)
	case f.logFormat != "text" && f.logFormat != "json":
		return misusef("--log-format %s: want text or json", f.logFormat)
	}
	for _, address := range f.listen {
		if err := checkAddress(address); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, m := range f.models {
		name, path := f.split(m)
		switch {
		case path == "":
			return misusef("-m %s: want NAME=FILE, or a FILE", m)
		case seen[name]:
			return misusef("two models are called %s: write -m NAME=FILE with another name", name)
		}
		seen[name] = true
	}
	return nil
}

// checkAddress reports an address that has not the form of one.
func checkAddress(address string) error {
	if strings.HasPrefix(address, "unix:") {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return misusef("--listen %s: want HOST:PORT, as in %s, or unix:PATH", address, defaultListen)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return misusef("--listen %s: %s is no port: want a number from 1 to 65535", address, port)
	}
	return nil
}

// split returns the name of a model and its file.
func (f *serveFlags) split(model string) (name, path string) {
	name, path = splitModel(model)
	if f.name != "" {
		name = f.name
	}
	return name, path
}

// splitModel splits NAME=FILE. Without a name it is the file's, as far as clients take it: some split
// names at slashes.
func splitModel(model string) (name, path string) {
	if name, path, ok := strings.Cut(model, "="); ok && name != "" && !strings.ContainsAny(name, `/\:.`) {
		return name, path
	}
	name = strings.TrimSuffix(filepath.Base(filepath.ToSlash(model)), ".gguf")
	return strings.NewReplacer(":", "-", "=", "-").Replace(name), model
}

// responses makes the folder in which responses are kept, and returns it and how many bytes they may take:
// a part of what --cache-dir has. Whether that folder can be used is said here, before a model is loaded.
func (f *serveFlags) responses() (dir string, bytes int64, err error) {
	if f.cache.dir == "" {
		return "", 0, nil
	}
	if err := blockfile.CheckFolder(f.cache.dir); err != nil {
		return "", 0, fmt.Errorf("--cache-dir %s: %w", f.cache.dir, err)
	}
	dir = filepath.Join(f.cache.dir, "responses")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", 0, fmt.Errorf("--cache-dir %s: %w: name a folder in which files may be kept", f.cache.dir, err)
	}
	return dir, f.cache.bytes / responsesPart, nil
}

// conversationBytes returns what the files of conversations may take: what responses leave of --cache-dir.
func (f *serveFlags) conversationBytes() int64 { return f.cache.bytes - f.cache.bytes/responsesPart }

// readKeys returns the keys of clients.
func (f *serveFlags) readKeys() (keys []server.Key, err error) {
	texts := f.keys
	if f.keyFile != "" {
		file, err := readText("the API keys", f.keyFile, nil)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(file)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				texts = append(texts, line)
			}
		}
		if len(texts) == 0 {
			return nil, fmt.Errorf("--api-key-file %s: there is no key in it", f.keyFile)
		}
	}
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			return nil, misusef("--api-key is empty: want a text that nobody can guess")
		}
		keys = append(keys, server.NewKey(strings.TrimSpace(text)))
	}
	return keys, nil
}

// logger returns the log.
func (f *serveFlags) logger(w io.Writer) *slog.Logger {
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}
