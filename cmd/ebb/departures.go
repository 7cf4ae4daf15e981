package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
)

// departures prints a line when K/V of layers leave the device: at the start of a line, also in the
// middle of an answer.
type departures struct {
	w      io.Writer // where the lines go
	screen bool      // an answer goes to the same terminal
	inside bool      // a line of the answer has begun
}

// follow returns a writer for answers to out.
func (d *departures) follow(out io.Writer) io.Writer {
	d.screen = isTerminal(out) && isTerminal(d.w)
	return &followed{out, d}
}

// print prints a line of [ebb.Options.Notify].
func (d *departures) print(line string) {
	if d.screen && d.inside {
		fmt.Fprintln(d.w)
		d.inside = false
	}
	fmt.Fprintf(d.w, "ebb: %s\n", line)
}

// followed notes where on its line an answer is.
type followed struct {
	io.Writer
	to *departures
}

func (f *followed) Write(text []byte) (int, error) {
	if len(text) > 0 {
		f.to.inside = text[len(text)-1] != '\n'
	}
	return f.Writer.Write(text)
}

// explain says what ended an answer, and what may help where memory did.
func (f *engineFlags) explain(err error) error {
	if errors.Is(err, kv.ErrNoMemory) {
		return f.explainMemory(err)
	}
	return explain(err)
}

// explainMemory adds to an error, if it is that there is no memory, what may help.
func (f *engineFlags) explainMemory(err error) error {
	o := &f.options
	if errors.Is(err, kv.ErrWindowRows) {
		err = fmt.Errorf("%w; --window-rows N keeps fewer rows behind the windows of layers", err)
		if o.Cache == kv.Dynamic || o.Cache == kv.Static {
			return err // it is host memory that has ended
		}
	}
	if f.packed > 0 && f.computesOnCPU() && o.KVMemory == 0 && o.DeviceMemory == 0 && errors.Is(err, kv.ErrNoMemory) {
		err = fmt.Errorf("%w; %s of the memory are packed weights: with --no-pack they stay in the model's file, which leaves more to K/V", err, bytesize.Format(f.packed))
	}
	switch stays := o.Cache == kv.Dynamic || o.Cache == kv.Static; {
	case !errors.Is(err, kv.ErrNoMemory):
		return err
	case stays:
		return fmt.Errorf("%w; with --cache auto layers leave the device when its memory ends", err)
	case o.Disk == "":
		return fmt.Errorf("%w; with --disk DIR K/V that have no room in memory go to files", err)
	case o.DiskBytes > 0:
		return fmt.Errorf("%w; --disk %s:SIZE allows more", err, o.Disk)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room there, or name a folder on another disk", err)
	default:
		return err
	}
}
