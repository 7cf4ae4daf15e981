package ebb

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// slotAlign is a multiple of what direct reads need the addresses of memory to be multiples of, on
// all usual disks.
const slotAlign = 4096

// validateTiers reports what contradicts itself about where rows are kept.
func (o Options) validateTiers() (errs []error) {
	if o.Disk == "" {
		if o.HostMemory > 0 || o.DiskBytes > 0 {
			errs = append(errs, errors.New("HostMemory or DiskBytes without Disk: rows that do not fit have no place; set Disk to a folder"))
		}
		return errs
	}
	if o.Tier != nil {
		errs = append(errs, errors.New("both Disk and Tier say where rows are kept: leave one of them out"))
	}
	if o.Cache == kv.Dynamic || o.Cache == kv.Static {
		errs = append(errs, fmt.Errorf("the option Disk is set with the policy %v, under which all rows stay on the device: want auto, offloaded or offloaded_static", o.Cache))
	}
	if o.Attend != AttendAtDevice {
		errs = append(errs, fmt.Errorf("the option Disk is set with attention at %v: rows in files are fetched to the device; want device", o.Attend))
	}
	return errs
}

// openTiers sets where the cache keeps the rows of streamed layers: in host memory, or with Disk as
// far as HostMemory goes, and then in files.
func (o Options) openTiers(c *kv.Options) error {
	switch {
	case o.Tier != nil:
		c.Tier = o.Tier
	case o.Disk == "":
		c.Tier = stack.New(host.NewExact, nil, -1).New
	default:
		files, err := disk.Open(disk.Options{Dir: o.Disk, Bytes: o.DiskBytes})
		if err != nil {
			return fmt.Errorf("ebb: %w", err)
		}
		c.Tier = stack.New(host.NewExact, files.New, o.HostMemory).New
		c.ForcedCopies, c.SlotAlign = true, slotAlign
		if o.DiskBytes > 0 {
			c.TierBytes = o.HostMemory + o.DiskBytes
		}
	}
	return nil
}
