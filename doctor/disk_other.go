//go:build !linux

package doctor

import (
	"context"
	"errors"
)

func (d *Disk) measure(context.Context) error { return errors.New("disks are measured on Linux only") }
