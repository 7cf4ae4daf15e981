package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/seed4d217819/ebb/bench"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/measure"
)

// result is the content of the file.
type result struct {
	Device      string          `json:"device"`
	Description string          `json:"description"`
	Software    bool            `json:"software"` // not a GPU: the figures say nothing
	Passed      bool            `json:"passed"`   // all tests passed, and at least one ran
	Tests       []testRun       `json:"tests"`
	Bench       *measure.Report `json:"bench"`
	Error       string          `json:"error,omitempty"` // why the measurement ended early
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	name := flags.String("device", "", "the `NAME` of the device (default the first GPU)")
	model := flags.String("model", "", "the model to measure with, a GGUF `FILE`")
	out := flags.String("out", "gpu.json", "the `FILE` to write the result to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	library, err := ggml.Load()
	if err != nil {
		return err
	}
	device, err := find(library, *name)
	if err != nil {
		return err
	}
	if device == nil {
		return withSoftware(ctx)
	}
	fmt.Printf("device %s: %s\n", device.Name(), device.Description())
	r := result{Device: device.Name(), Description: device.Description(), Software: device.Software()}
	r.Tests, r.Passed = runTests(ctx, device, flags.Args())
	report, err := bench.Run(ctx, bench.Options{Options: options(device, *model, library.Version())})
	if r.Bench = report; err != nil {
		r.Error = err.Error()
	}
	if report != nil {
		err = errors.Join(err, report.WriteTable(os.Stdout))
	}
	if err := errors.Join(err, write(*out, r)); err != nil {
		return err
	}
	fmt.Printf("\n%s: tests passed: %v, with the measurements in %s\n", r.Device, r.Passed, *out)
	if !r.Passed {
		return errors.New("tests failed, or none ran")
	}
	return nil
}

// find returns the device of that name, or the first GPU; nil if there is none.
func find(l *ggml.Library, name string) (*ggml.Device, error) {
	if name != "" {
		return l.Device(name)
	}
	for _, d := range l.Devices() {
		if t := d.Type(); t == ggml.GPU || t == ggml.IGPU {
			return d, nil
		}
	}
	return nil, nil
}

// withSoftware runs the program again so that ggml lists Mesa's software driver, which it hides
// otherwise.
func withSoftware(ctx context.Context) error {
	const variable = "GGML_VK_VISIBLE_DEVICES"
	if os.Getenv(variable) != "" {
		return errors.New("no GPU, nor Mesa's software Vulkan driver: `make vulkan` installs that")
	}
	fmt.Println("no GPU: checking with Mesa's software Vulkan driver, at sizes that say nothing about speed")
	cmd := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), variable+"=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}

// options says what is measured: on a GPU, decoding at depths where K/V outgrow the weights; on the
// software driver, something small.
func options(d *ggml.Device, model, version string) measure.Options {
	o := measure.Options{
		Model: model, Device: d.Name(), Library: version,
		Workloads: []string{"roofline", "decode", "prefill", "link", "timeline"},
		Policies:  policies(),
		Progress:  func(line string) { fmt.Println("measuring " + line) },
	}
	if d.Software() {
		o.Context, o.Fill, o.Depths, o.Prompts, o.PromptDepths = 256, 16, []int{0, 16}, []int{16}, []int{0}
		o.LinkDepth, o.Ratios, o.Threads = 16, []float64{1}, []int{1}
		o.Pace = measure.Pace{Rounds: 1, WarmUp: 1, Steps: 1, WarmUpSteps: 1}
		return o
	}
	o.Context, o.Depths = 33000, []int{0, 8000, 32000}
	o.Prompts, o.PromptDepths, o.LinkDepth = []int{512, 2048}, []int{0, 8000}, 8000
	return o
}

func write(name string, r result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o666)
}

// folderOf returns the folder of a test binary's package in the module.
func folderOf(binary string) string {
	name := binary[strings.LastIndexByte(binary, '/')+1:]
	name = strings.TrimSuffix(name, ".test")
	if name == "ebb" {
		return "."
	}
	return name
}
