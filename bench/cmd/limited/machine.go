package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What a run has in its folder. Names are fixed, so that the next run finds what a killed one has left.
const (
	swapName    = "ebb-limited.swap"
	modelName   = "ebb-limited.gguf"
	clusterName = "ebb-limited.page-cluster" // the kernel's setting before the run
)

// clusterFile is the kernel's setting of how many pages are read from swap at once: 2 to the power of
// it.
const clusterFile = "proc/sys/vm/page-cluster"

// machine is what both programs run on, set up for measuring.
type machine struct {
	root    string
	dir     string
	model   string // a copy that no other program has mapped, so that its pages count in the cgroup
	cluster string // the kernel's setting
}

// setUp copies the model and makes the swap file. clean removes both.
func setUp(ctx context.Context, root string, o options) (m machine, err error) {
	m = machine{root: root, dir: o.Dir, model: filepath.Join(o.Dir, modelName)}
	text, err := os.ReadFile(filepath.Join(root, clusterFile))
	if err != nil {
		return m, err
	}
	m.cluster = strings.TrimSpace(string(text))
	if err := os.WriteFile(filepath.Join(o.Dir, clusterName), []byte(m.cluster), 0o600); err != nil {
		return m, err
	}
	if err := copyFile(m.model, o.Model); err != nil {
		return m, err
	}
	return m, m.makeSwap(ctx, int64(o.Swap)<<20)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// makeSwap makes the swap file, preferred to other swap. A file system whose reserved blocks the kernel
// does not swap to gets one of zeros.
func (m machine) makeSwap(ctx context.Context, bytes int64) error {
	path := filepath.Join(m.dir, swapName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	err := command(ctx, "fallocate", "--length", fmt.Sprint(bytes), path)
	if err == nil {
		err = startSwap(ctx, path)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if zeros := command(ctx, "dd", "if=/dev/zero", "of="+path, "bs=1M", fmt.Sprintf("count=%d", bytes>>20), "conv=fsync"); zeros != nil {
		return fmt.Errorf("the swap file %s: %w", path, errors.Join(err, zeros))
	}
	if err := startSwap(ctx, path); err != nil {
		return fmt.Errorf("the kernel does not swap to %s; name a folder on a disk with --dir: %w", path, err)
	}
	return nil
}

func startSwap(ctx context.Context, path string) error {
	return errors.Join(command(ctx, "mkswap", path), command(ctx, "swapon", "--priority", "32767", path))
}

// command runs a program of the system. Its output is in the error if it fails.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// prepare sets how much is read from swap at once (0: as the system has it), and empties the page cache.
func (m machine) prepare(ctx context.Context, cluster int) error {
	value := m.cluster
	if cluster > 0 {
		value = fmt.Sprint(cluster)
	}
	if err := os.WriteFile(filepath.Join(m.root, clusterFile), []byte(value), 0o644); err != nil {
		return err
	}
	if err := command(ctx, "sync"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.root, "proc/sys/vm/drop_caches"), []byte("3"), 0o200)
}

// clean leaves the machine as it was before a run: its cgroups, swap file, setting and copy of the model
// are gone. It does nothing where there is nothing.
func clean(root, dir string) error {
	var errs []error
	if l, err := findLimits(root); err == nil {
		errs = append(errs, l.removeGroups())
	}
	setting := filepath.Join(dir, clusterName)
	if text, err := os.ReadFile(setting); err == nil {
		err := os.WriteFile(filepath.Join(root, clusterFile), text, 0o644)
		if err == nil {
			err = os.Remove(setting)
		}
		errs = append(errs, err)
	}
	swap := filepath.Join(dir, swapName)
	used, _ := os.ReadFile(filepath.Join(root, "proc/swaps"))
	if strings.Contains(string(used), swap) {
		errs = append(errs, command(context.Background(), "swapoff", swap))
	}
	for _, path := range []string{swap, filepath.Join(dir, modelName)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
