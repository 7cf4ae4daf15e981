package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	runner "github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
)

// boundedRun is a run within bounds, and what came of it.
type boundedRun struct {
	Model, Disk          string // without Disk all K/V stay on the device
	KVMemory, HostMemory int64
	Tokens               int

	IDs          []int32 // the tokens after those
	Logits       uint32  // a checksum of their logits
	Before, Peak int64   // bytes of the process in memory: before the engine was opened, and at most since
	Host, OnDisk int64   // bytes of rows in host memory and in files
}

// boundedVariable holds the run of TestBoundedRun, as JSON.
const boundedVariable = "EBB_TEST_BOUNDED_RUN"

// TestBoundedRun is a process of its own for TestMemoryStaysWithinItsBounds.
func TestBoundedRun(t *testing.T) {
	var r boundedRun
	if text, ok := os.LookupEnv(boundedVariable); !ok {
		return // as one of the package's tests
	} else if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if _, err := ggml.Load(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // VmHWM begins anew
		t.Fatal(err)
	}
	r.Before = statusBytes(t, "VmRSS")
	o := ebb.Options{Cache: kv.Dynamic, Context: r.Tokens + kv.Block, KVMemory: r.KVMemory, HostMemory: r.HostMemory, Disk: r.Disk, Threads: 1}
	if r.Disk != "" {
		o.Cache = kv.Offloaded
	}
	e, err := ebb.Open(r.Model, o)
	if err != nil {
		t.Fatal(err)
	}
	seq := e.NewSeq()
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: make([]int32, 2048), Logits: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := runner.OfEngine(e).Repeat(t.Context(), seq, r.Tokens-2048); err != nil {
		t.Fatal(err)
	}
	for id := int32(7); len(r.IDs) < 6; r.IDs = append(r.IDs, id) {
		logits, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: []int32{id}, Logits: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range logits[0][0] {
			r.Logits = crc32.Update(r.Logits, crc32.IEEETable, binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
		id = int32(slices.Index(logits[0][0], slices.Max(logits[0][0])))
	}
	s := e.Stats().Cache
	r.Peak, r.Host, r.OnDisk = statusBytes(t, "VmHWM"), s.HostBytes, s.DiskBytes
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nbounded %s\n", text)
}

// statusBytes returns a number of /proc/self/status.
func statusBytes(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", name, text)
	}
	kilobytes, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// alone does a run in a process of its own.
func (r boundedRun) alone(t *testing.T, wrapper ...string) (done boundedRun, err error) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(wrapper), os.Args[0], "-test.run=^TestBoundedRun$", "-test.v")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), boundedVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return done, fmt.Errorf("%w\n%s", err, out)
	}
	_, result, ok := strings.Cut(string(out), "\nbounded ")
	if !ok {
		return done, errors.New("no result in\n" + string(out))
	}
	return done, json.NewDecoder(strings.NewReader(result)).Decode(&done)
}

// longRow is how many bytes of K/V a token of a longRun has: 8 layers with 4 heads of 64 values in f16.
const longRow = 8 * 2 * 4 * 64 * 2

// longRun returns a run with 32k tokens, whose K/V take 256 MiB: two layers of eight visit the device
// at a time, 32 MiB lie in host memory, and the others on the disk.
func longRun(t *testing.T) boundedRun {
	t.Helper()
	const tokens = 32 << 10
	return boundedRun{
		Model:    testmodel.WriteFile(t, testmodel.Options{Layers: 8, Heads: 4, KVHeads: 4, HeadDim: 64, Context: tokens + kv.Block, Seed: 12}),
		Disk:     t.TempDir(),
		KVMemory: (tokens + kv.Block) * longRow / 4, HostMemory: 32 << 20, Tokens: tokens,
	}
}

// What a process takes at most with a long text, read from the system, is what it was allowed for
// K/V and what ebb plan says of weights and steps.
func TestMemoryStaysWithinItsBounds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("cpu: %s does not say what a process has had in memory", runtime.GOOS)
	}
	if testing.Short() {
		t.Skip("cpu: hundreds of megabytes are written")
	}
	needLibraries(t)
	r := longRun(t)
	var stdout, stderr bytes.Buffer
	args := []string{"plan", "-m", r.Model, "--machine", "h100", "--context", strconv.Itoa(r.Tokens + kv.Block), "--output", "json"}
	if status := execute(args, strings.NewReader(""), &stdout, &stderr); status != exitOK {
		t.Fatalf("%v: exit status %d: %s", args, status, stderr.String())
	}
	var planned struct {
		Device struct {
			Weights int64 `json:"weights_bytes"`
			Step    int64 `json:"step_bytes"`
		} `json:"device"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &planned); err != nil {
		t.Fatal(err)
	}
	got, err := r.alone(t)
	if err != nil {
		t.Fatal(err)
	}
	bound := r.KVMemory + r.HostMemory + planned.Device.Weights + planned.Device.Step
	if all := int64(r.Tokens) * longRow; all < bound+bound/2 || got.OnDisk < all/2 {
		t.Fatalf("of %d bytes of K/V %d are on the disk, and the bound is %d: that does not show that it holds", all, got.OnDisk, bound)
	}
	if taken := got.Peak - got.Before; taken > bound {
		t.Errorf("the process took %s at most, want at most %s: K/V %s on the device and %s off it, weights %s, steps %s",
			bytesize.Ceil(taken), bytesize.Floor(bound), bytesize.Format(r.KVMemory), bytesize.Format(r.HostMemory),
			bytesize.Format(planned.Device.Weights), bytesize.Format(planned.Device.Step))
	}
}

// limitMemory makes a control group with a bound on memory, without swap, and returns the beginning
// of a command line that runs the rest of it there. The test is skipped where the machine has no such
// groups or lets no one make them.
func limitMemory(t *testing.T, bytes int64) (wrapper []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("cpu: %s has no control groups", runtime.GOOS)
	}
	for _, version := range []struct{ root, controllers, limit, swap string }{
		{"/sys/fs/cgroup/memory", "", "memory.limit_in_bytes", "memory.swappiness"},
		{"/sys/fs/cgroup", "cgroup.subtree_control", "memory.max", "memory.swap.max"},
	} {
		if version.controllers != "" {
			on, err := os.ReadFile(filepath.Join(version.root, version.controllers))
			if err != nil || !slices.Contains(strings.Fields(string(on)), "memory") {
				continue
			}
		} else if _, err := os.Stat(filepath.Join(version.root, version.limit)); err != nil {
			continue
		}
		dir := filepath.Join(version.root, fmt.Sprintf("ebb-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			t.Skipf("cpu: this user cannot make a control group: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for tries := 0; ; tries++ { // the kernel takes a moment to see that its processes have ended
				if err := os.Remove(dir); err == nil {
					return
				} else if tries == 50 {
					t.Error(err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		if err := os.WriteFile(filepath.Join(dir, version.limit), fmt.Append(nil, bytes), 0); err != nil {
			t.Fatal(err)
		}
		_ = os.WriteFile(filepath.Join(dir, version.swap), []byte("0"), 0) // kernels without swap lack it
		return []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, dir}
	}
	t.Skip("cpu: no control groups for memory are mounted")
	return nil
}

// A text whose K/V are larger than all memory that the process may have ends in the same tokens as
// with all K/V in memory, which that memory would not hold.
func TestATextLargerThanTheControlGroupHasTheSameTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("cpu: hundreds of megabytes are written")
	}
	needLibraries(t)
	r := longRun(t)
	const limit = 192 << 20
	group := limitMemory(t, limit)
	if kv := int64(r.Tokens) * longRow; kv <= limit {
		t.Fatalf("K/V take %d bytes, and %d are allowed", kv, limit)
	}
	whole := r
	whole.Disk, whole.KVMemory, whole.HostMemory = "", 0, 0
	want, err := whole.alone(t)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.alone(t, group...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.IDs, want.IDs) || len(got.IDs) == 0 || got.Logits != want.Logits {
		t.Errorf("tokens %v and logits %x, want %v and %x", got.IDs, got.Logits, want.IDs, want.Logits)
	}
	if got.Peak > limit {
		t.Errorf("the process took %d bytes in a group of %d", got.Peak, limit)
	}
	if _, err := whole.alone(t, group...); err == nil {
		t.Errorf("a run with all K/V in memory fits into %d bytes, so the group bounds nothing", limit)
	}
}
