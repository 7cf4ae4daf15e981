package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/hub"
	"github.com/seed4d217819/ebb/internal/cputime"
	"github.com/seed4d217819/ebb/internal/dl"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
)

// doctorFlags are the flags of ebb doctor.
type doctorFlags struct {
	model   string
	disk    string
	threads int
	output  string
}

func newDoctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether ebb can run here, and what to fix",
		Long: `Doctor looks for the libraries, reads what the machine and its limits are, measures for
a few seconds how fast copies are, and says in words what to fix. -m adds whether a model
fits, and how much of its context; --disk adds how fast a folder's disk is, with a file
that has no name and leaves nothing behind.

The exit status is 0 if ebb can run here, and 1 if not.`,
		Example: `  ebb doctor
  ebb doctor -m model.gguf
  ebb doctor --disk /var/tmp --output json`,
		Args: noArguments,
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", modelHelp+" Does it fit?")
	flags.StringVar(&f.disk, "disk", "", "measure the disk of this `DIR`")
	flags.IntVar(&f.threads, "threads", 0, "CPU threads that are going to compute (default one a core)")
	flags.StringVar(&f.output, "output", "text", "what to print: text or json")
	complete(cmd, "output", "text", "json")
	if err := errors.Join(cmd.MarkFlagFilename("model", "gguf"), cmd.MarkFlagDirname("disk")); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// diagnosis is what --output json prints. Scripts read it: names stay.
type diagnosis struct {
	Runs     bool             `json:"runs"`
	Findings []doctor.Finding `json:"findings"`
	doctor.Readings
}

func (f *doctorFlags) run(cmd *cobra.Command, _ []string) error {
	switch {
	case f.output != "text" && f.output != "json":
		return misusef("--output %s: want text or json", f.output)
	case cmd.Flags().Changed("threads") && f.threads < 1:
		return misusef("--threads %d: want at least 1", f.threads)
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	path := f.model // what is wrong with a file is a finding
	if hub.IsName(f.model) {
		var err error
		if path, err = modelFile(ctx, f.model, cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	r := f.read(ctx, path)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	d := diagnosis{Findings: doctor.Findings(r), Readings: r}
	d.Runs = doctor.Runs(d.Findings)
	var text bytes.Buffer
	if f.output == "json" {
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(d); err != nil {
			return err
		}
	} else {
		printDiagnosis(&text, d)
	}
	if _, err := text.WriteTo(cmd.OutOrStdout()); err != nil {
		return err
	}
	if !d.Runs {
		return errors.New("it cannot run: fix what is fatal first")
	}
	return nil
}

// read reads and measures.
func (f *doctorFlags) read(ctx context.Context, model string) doctor.Readings {
	root := os.DirFS("/")
	others := watchOthers()
	r := doctor.Readings{
		Version: buildVersion(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Libraries: readLibraries(root), Kernels: readKernels(), Machine: doctor.ReadMachine(root),
		Threads: f.threads,
	}
	if f.threads == 0 {
		r.Threads = min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // as ggml.Options has it
	}
	r.Others = others(ctx)
	r.Devices = readDevices(ctx, root)
	if f.disk != "" {
		disk := doctor.MeasureDisk(ctx, f.disk)
		r.Disk = &disk
	}
	if model != "" {
		r.Model = readModel(model, r)
	}
	return r
}

// watchOthers returns a function that waits a little and then returns how many cores other
// processes have used since.
func watchOthers() func(context.Context) float64 {
	const watched = 300 * time.Millisecond // enough of the system's ticks to tell a busy core from an idle one
	start := time.Now()
	idle, known := cputime.Idle()
	own, _ := cputime.Process()
	return func(ctx context.Context) float64 {
		select {
		case <-ctx.Done():
		case <-time.After(watched - time.Since(start)):
		}
		wall := time.Since(start)
		idleNow, stillKnown := cputime.Idle()
		ownNow, _ := cputime.Process()
		if !known || !stillKnown {
			return 0
		}
		ours := idleNow - idle + ownNow.CPU - own.CPU
		return max(0, float64(runtime.NumCPU())-ours.Seconds()/wall.Seconds())
	}
}

// readLibraries says where the libraries are, and which of their files are used.
func readLibraries(root fs.FS) doctor.Libraries {
	l := doctor.Libraries{Want: ggml.Version}
	for _, dir := range ggml.SearchPath() {
		p := doctor.Place{Dir: dir, State: doctor.Missing}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			p.State = doctor.Empty
			if ggml.Holds(dir) {
				p.State = doctor.Found
			}
		}
		l.Places = append(l.Places, p)
	}
	library, err := ggml.Load()
	if err != nil {
		l.Error, _, _ = strings.Cut(err.Error(), "\n") // what follows are the places
		return l
	}
	l.Dir, l.Version = library.Dir(), library.Version()
	if l.Llama, err = llama.Version(); err != nil {
		l.LlamaErr = err.Error()
	}
	if cpu, err := library.Device("cpu"); err == nil {
		l.Features = cpu.Features()
	}
	library.Devices() // loads what GPUs need, where it can be loaded
	loaded := map[string]bool{}
	for _, file := range doctor.LoadedFiles(root) {
		loaded[filepath.Base(file)] = true
	}
	names, err := fs.Glob(os.DirFS(l.Dir), "libggml-*.*")
	if err != nil || len(loaded) == 0 {
		return l
	}
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "libggml-base"):
		case strings.HasPrefix(name, "libggml-cpu"):
			if loaded[name] {
				l.Kernels = name
			}
		default:
			b := doctor.Backend{File: name, Loaded: loaded[name]}
			if !b.Loaded {
				b.Missing = missingLibraries(l.Dir, name)
			}
			l.Backends = append(l.Backends, b)
		}
	}
	return l
}

// missingLibraries returns the libraries that a library on Linux needs and that the system's loader
// does not find, neither beside it nor elsewhere.
func missingLibraries(dir, name string) []string {
	file, err := elf.Open(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }() // it was only read
	needed, err := file.ImportedLibraries()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(needed, func(library string) bool {
		if _, err := dl.Open(library, false); err == nil {
			return true
		}
		_, err := dl.Open(filepath.Join(dir, library), false)
		return err == nil
	})
}

// readModel says what a model needs and what fits.
func readModel(path string, r doctor.Readings) *doctor.Model {
	m := &doctor.Model{Path: path, Known: ebb.Architectures()}
	file, err := gguf.Open(path)
	if err != nil {
		m.Error = strings.TrimPrefix(err.Error(), "gguf: ")
		return m
	}
	s := summarize(file)
	experts, _ := model.ExpertBytes(file)
	for _, bytes := range experts {
		m.Experts += bytes
	}
	if err := file.Close(); err != nil {
		m.Error = err.Error()
	}
	m.Name, m.Architecture, m.Weights, m.Layers, m.Context = s.Name, s.Architecture, s.Bytes, s.Layers, s.Context
	m.Packed, m.Step = s.Packed, stepBytes(s)
	for _, name := range []string{"f16", "q8_0", "q4_0", "f32", "bf16"} { // the default first, then the smaller ones
		i := slices.IndexFunc(s.KVBytes, func(kv kvBytes) bool { return kv.Type == name })
		if i < 0 || s.KVBytes[i].PerToken == 0 {
			continue
		}
		layers, _ := planLayers(s.layers, kvTypes[i])
		kv := s.KVBytes[i]
		m.KV = append(m.KV, doctor.KV{Type: name, PerToken: kv.PerToken, Windows: kv.Fixed, Past: kv.Past, Layers: layers})
	}
	m.Fits = doctor.Fits(*m, r.Machine, r.Devices)
	return m
}

// stepBytes returns about what a step of the largest kind takes besides weights and K/V, from the
// file alone.
func stepBytes(s summary) int64 {
	m := plan.Model{Context: s.Context, Hidden: s.Hidden, Vocab: s.Tokenizer.Tokens, FeedForward: s.widestFeedForward()}
	return m.Footprint().Total()
}
