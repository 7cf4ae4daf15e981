package ebb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Rows in files, alone and behind host memory that is too small, give the logits of rows that never
// moved, whatever a sequence goes through.
func TestRowsOnADiskGiveTheBitsOfStatic(t *testing.T) {
	long := func(e *ebb.Engine) (rows [][]float32) {
		s := e.NewSeq()
		defer closeSeq(t, s)
		rows = append(rows, forward(t, e, s, prompt(7, 1100), 2)...)
		if err := s.Truncate(300); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, forward(t, e, s, prompt(8, 900), 1)...)
		for i := range 3 {
			rows = append(rows, forward(t, e, s, prompt(60+i, 1), 1)...)
		}
		return append(rows, script(t, e, 1)...)
	}
	o := ebb.Options{Cache: kv.Static, Context: 1536, Threads: 1}
	want := long(cpuInPlace.open(t, modelPath("tiny-gqa"), o))
	for name, hostMemory := range map[string]int64{"disk": 0, "host memory and disk": 600 << 10} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Cache, o.Disk, o.HostMemory = kv.Offloaded, t.TempDir(), hostMemory
			e := cpuInPlace.open(t, modelPath("tiny-gqa"), o)
			if err := sameBits(long(e), want); err != nil {
				t.Error(err)
			}
			if s := e.Stats().Cache; s.DiskBytesPeak == 0 || s.DiskBytes != 0 {
				t.Errorf("%d bytes on the disk at most, %d when the sequences are closed", s.DiskBytesPeak, s.DiskBytes)
			}
		})
	}
}

// Two conversations of an engine whose prompts begin alike hold the K/V of two blocks once.
func TestConversationsHoldOnceWhatTheyHaveInCommon(t *testing.T) {
	const (
		common = 560
		shared = 512
		row    = 1280 // bytes of a token in all layers of the model, in f16
	)
	for name, hostMemory := range map[string]int64{"disk": 0, "host memory": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			o := ebb.Options{Cache: kv.Offloaded, Context: 1024, Threads: 1, Disk: t.TempDir(), HostMemory: hostMemory}
			e := cpuInPlace.open(t, modelPath("tiny-gqa"), o)
			a, b := e.NewSeq(), e.NewSeq()
			defer closeSeq(t, a)
			defer closeSeq(t, b)
			for i, s := range []*kv.Seq{a, b} {
				forward(t, e, s, slices.Concat(prompt(7, common), prompt(8+i, 40+60*i)), 1)
			}
			held := func() int64 {
				s := e.Stats().Cache
				if hostMemory == 0 {
					return s.DiskBytes
				}
				return s.HostBytes
			}
			before := held()
			for _, s := range []*kv.Seq{a, b} { // a step tells the tiers what is sealed
				forward(t, e, s, prompt(1, 1), 1)
			}
			if got, want := held(), before-shared*row; got != want {
				t.Errorf("%d bytes; want %d of %d: %d tokens are held once", got, want, before, shared)
			}
		})
	}
}

func TestOptionsOfTiersThatContradictEachOther(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		options ebb.Options
		want    string
	}{
		{ebb.Options{HostMemory: 1}, "without Disk"},
		{ebb.Options{DiskBytes: 1}, "without Disk"},
		{ebb.Options{Disk: dir, Cache: kv.Dynamic}, "want auto, offloaded or offloaded_static"},
		{ebb.Options{Disk: dir, Cache: kv.Offloaded, Attend: ebb.AttendAtHost}, "want device"},
		{ebb.Options{Disk: dir, Cache: kv.Offloaded, HostMemory: -1}, "want at least 0"},
		{ebb.Options{Disk: dir + "/none", Cache: kv.Offloaded}, "there is no folder"},
	} {
		e, err := ebb.Open(modelPath("tiny-gqa"), tt.options)
		if err == nil {
			_ = e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v; want %q in it", tt.options, err, tt.want)
		}
	}
}
