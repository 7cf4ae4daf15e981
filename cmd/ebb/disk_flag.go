package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/kv"
)

// diskPlace is a folder for K/V, and how many bytes they may take there.
type diskPlace struct {
	dir   string
	bytes int64 // 0: no bound
}

// parseDisk reads DIR[:SIZE]. A folder whose name ends like that can be written with a slash
// behind.
func parseDisk(text string) (diskPlace, error) {
	dir, size, found := text, "", false
	if i := strings.LastIndex(text, ":"); i >= 0 {
		dir, size, found = text[:i], text[i+1:], true
	}
	if bytes, err := parseSize(size); found && err == nil {
		return diskPlace{dir, bytes}, nil
	}
	if text == "" || found && !strings.ContainsAny(size, `/\`) {
		return diskPlace{}, errors.New("want a folder, and perhaps a colon and a size, as in /var/tmp:64GiB")
	}
	return diskPlace{dir: text}, nil
}

// configureDisk sets where K/V off the device are kept. Without a flag they may take half of the
// memory that is free, or none where the device is the CPU and its K/V stay until that memory ends.
func (f *engineFlags) configureDisk(cmd *cobra.Command) {
	if f.disk.dir == "" {
		return
	}
	o := &f.options
	o.Disk, o.DiskBytes = f.disk.dir, f.disk.bytes
	if cmd.Flags().Changed("host-memory") || o.Cache == kv.Auto && f.computesOnCPU() {
		return
	}
	o.HostMemory = doctor.ReadMachine(os.DirFS("/")).Room() / 2
}

// computesOnCPU reports whether the CPU computes all layers.
func (f *engineFlags) computesOnCPU() bool {
	o := &f.options
	return o.GPULayers == 0 && o.DeviceMap == nil && (o.Device == "" || strings.EqualFold(o.Device, "cpu"))
}
