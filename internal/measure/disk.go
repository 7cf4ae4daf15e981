package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/kv"
)

// The targets with rows in files: for steps of one token, the longer of computing and reading,
// divided by the time of a step; for a prompt, the share of the resident speed.
const (
	targetDisk        = 0.90
	targetDiskPrefill = 0.95
)

// diskPrompt is the most tokens of a prompt with rows in files: one chunk.
const diskPrompt = kv.DefaultChunkTokens

// diskNeeds returns the depth at which rows in files are measured, with the tokens of a turn.
func diskNeeds(o Options) []Need { return []Need{{o.DiskDepth, o.Pace.Tokens()}} }

// disk measures steps whose rows are all in files.
func disk(ctx context.Context, o Options, _ Model) (res Result, err error) {
	return res, o.inFiles(ctx, "disk", 0, &res)
}

// mixed measures steps half of whose rows are in host memory and half in files.
func mixed(ctx context.Context, o Options, _ Model) (res Result, err error) {
	return res, o.inFiles(ctx, "mixed", 0.5, &res)
}

// inFiles compares steps with a share of their rows in host memory, and the others in files, with
// their bounds: how long a resident step computes, and how long the copies take without computing.
func (o Options) inFiles(ctx context.Context, workload string, inMemory float64, res *Result) error {
	for _, s := range o.Settings() {
		if err := o.inFilesOf(ctx, workload, s, inMemory, res); err != nil {
			return err
		}
	}
	return nil
}

func (o Options) inFilesOf(ctx context.Context, workload string, s Setting, inMemory float64, res *Result) (err error) {
	prompt := min(diskPrompt, o.Context-o.DiskDepth)
	room := o.DiskDepth + max(prompt, o.Pace.Tokens())
	at := Point{workload, s, o.DiskDepth, 1}
	o.Progress(fmt.Sprintf("%s at depth %d, %v", workload, at.Depth, s))
	resident, err := OpenEbb("ebb static", o, s, ebb.Options{Cache: kv.Static, Context: room})
	if err != nil {
		return err
	}
	arms := []Arm{resident}
	defer func() { err = errors.Join(err, CloseAll(arms)) }()
	row, err := resident.RowBytes(s)
	if err != nil {
		return err
	}
	label := "ebb offloaded, rows on the disk"
	if inMemory > 0 {
		label = fmt.Sprintf("ebb offloaded, %.2g of the rows in memory, the others on the disk", inMemory)
	}
	streamed, err := OpenEbb(label, o, s, ebb.Options{
		Cache: kv.Offloaded, Context: room, Slots: o.Slots, Disk: o.Disk, HostMemory: int64(inMemory * float64(row) * float64(o.DiskDepth)),
	})
	if err != nil {
		return err
	}
	copies := &copiesArm{streamed, "the same copies without computing"}
	arms = append(arms, streamed, copies)
	raw, err := openReads(ctx, o, copies, at.Depth)
	if err != nil {
		return err
	}
	if raw != nil {
		arms = append(arms, raw)
		res.Note(raw.note()...)
	}

	rows, err := Measure(ctx, arms, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	target := float64(targetDisk)
	if o.OnCPU() && inMemory > 0 { // copies from memory take the cores that compute
		target = 0
	}
	res.Scores = append(res.Scores, boundScore(rows[1], rows[0], rows[2], target))
	if raw != nil {
		res.Scores = append(res.Scores, boundScore(rows[1], rows[0], rows[3], 0), SpeedScore(rows[2], rows[3], 0))
		res.Figures = append(res.Figures, raw.figures(workload, rows[3])...)
	}
	return diskPrefill(ctx, o, resident, streamed, Point{workload, s, o.DiskDepth, prompt}, res)
}

// diskPrefill compares prompts with rows in files with prompts of a resident cache.
func diskPrefill(ctx context.Context, o Options, resident, streamed *Ebb, at Point, res *Result) error {
	if at.Tokens < 1 {
		return nil
	}
	o.Progress(fmt.Sprintf("%s: a prompt of %d tokens at depth %d, %v", at.Workload, at.Tokens, at.Depth, at.Setting))
	before := streamed.Engine.Stats().Cache
	rows, err := Measure(ctx, []Arm{resident, streamed}, at, o.Pace.Prompts())
	if err != nil {
		return err
	}
	after := streamed.Engine.Stats().Cache
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, SpeedScore(rows[1], rows[0], targetDiskPrefill))
	res.Figures = append(res.Figures, Figure{
		Workload: at.Workload, Name: fmt.Sprintf("a prompt of %d tokens waited for copies", at.Tokens),
		Value: (after.Stall - before.Stall).Seconds() * 1e3 / float64(after.Steps-before.Steps), Unit: "ms", Disturbed: rows[1].Disturbed > 0,
	})
	return nil
}

// boundScore is the longer of the times of two rows that bound a third one's, divided by its time.
func boundScore(row, compute, transfer Row, target float64) Score {
	s := SpeedScore(row, compute, target)
	s.Name = fmt.Sprintf("max(%s, %s) / %s", compute.Arm, transfer.Arm, row.Arm)
	s.Value = max(compute.P25, transfer.P25) / row.P25
	return s
}

// readsArm reads as many bytes from the disk as a step does, and does nothing else.
type readsArm struct {
	file  *doctor.DiskFile
	bytes int64
}

var _ Arm = (*readsArm)(nil)

// openReads returns an arm that reads as many bytes as the steps of another arm at some depth do; nil
// if the system does not say how many these are, or if they read nothing from a disk.
func openReads(ctx context.Context, o Options, of Arm, depth int) (*readsArm, error) {
	bytes, err := readFromDisk(ctx, of, depth)
	if err != nil || bytes == 0 {
		return nil, err
	}
	file, err := doctor.OpenDiskFile(o.Disk, bytes)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", o.Disk, err)
	}
	if err := file.Write(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s: %w", o.Disk, err), file.Close())
	}
	return &readsArm{file, bytes}, nil
}

// readFromDisk returns how many bytes a step of an arm reads from a disk; 0 if that is unknown.
func readFromDisk(ctx context.Context, a Arm, depth int) (int64, error) {
	const warm, steps = 2, 4
	if err := a.Rewind(ctx, depth); err != nil {
		return 0, err
	}
	var before int64
	for i := range warm + steps {
		if i == warm {
			before = diskReads()
		}
		if err := a.Step(ctx, 1); err != nil {
			return 0, err
		}
	}
	return (diskReads() - before) / steps, nil
}

func (a *readsArm) Name() string { return "reading as many bytes" }

func (a *readsArm) Rewind(context.Context, int) error { return nil }

func (a *readsArm) Step(ctx context.Context, _ int) error { return a.file.Read(ctx) }

func (a *readsArm) Close() error { return a.file.Close() }

// note says what the reader should know of the file system.
func (a *readsArm) note() []string {
	if a.file.Direct() {
		return nil
	}
	return []string{"The file system cannot bypass the page cache (no O_DIRECT), so reads may have come from memory."}
}

// figures are the rate of the disk, and what a step reads.
func (a *readsArm) figures(workload string, row Row) []Figure {
	return []Figure{
		{Workload: workload, Name: fmt.Sprintf("read from the disk by a step at depth %d", row.Depth), Value: float64(a.bytes) / 1e6, Unit: "MB"},
		{Workload: workload, Name: "disk read, nothing else", Value: float64(a.bytes) / row.P25 / 1e9, Unit: "GB/s", Disturbed: row.Disturbed > 0},
	}
}
