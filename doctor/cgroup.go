package doctor

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// groups are the folders with the limits of the control groups that this process is in, from the
// outermost group inwards: the limits of all of them hold.
type groups struct {
	root    fs.FS
	unified []string // folders of version 2
	cpus    []string // of version 1
	mems    []string
}

// cgroupRoot is where the groups are mounted, on every distribution.
const cgroupRoot = "sys/fs/cgroup"

func readGroups(root fs.FS) groups {
	g := groups{root: root}
	for line := range strings.Lines(string(read(root, "proc/self/cgroup"))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch controllers := "," + parts[1] + ","; {
		case parts[1] == "":
			g.unified = append(g.unified, folders("", parts[2])...)
			g.unified = append(g.unified, folders("unified", parts[2])...)
		case strings.Contains(controllers, ",cpu,"):
			g.cpus = append(g.cpus, folders(parts[1], parts[2])...) // cpu, or cpu,cpuacct
			g.cpus = append(g.cpus, folders("cpu", parts[2])...)
		case strings.Contains(controllers, ",memory,"):
			g.mems = append(g.mems, folders("memory", parts[2])...)
		}
	}
	return g
}

// folders returns the folders of a group and of all groups that contain it.
func folders(controller, group string) []string {
	dir := path.Join(cgroupRoot, controller)
	all := []string{dir} // in a container this is the group itself
	for part := range strings.SplitSeq(path.Clean("/" + group)[1:], "/") {
		if part != "" {
			dir = path.Join(dir, part)
			all = append(all, dir)
		}
	}
	return all
}

// quota returns the smallest number of cores whose time a group allows; 0 is no limit.
func (g groups) quota() float64 {
	least := 0.0
	take := func(quota, period int64) {
		if cores := float64(quota) / float64(period); quota > 0 && period > 0 && (least == 0 || cores < least) {
			least = cores
		}
	}
	for _, dir := range g.unified {
		if words := strings.Fields(string(read(g.root, path.Join(dir, "cpu.max")))); len(words) == 2 {
			take(whole(words[0]), whole(words[1]))
		}
	}
	for _, dir := range g.cpus {
		take(g.number(dir, "cpu.cfs_quota_us"), g.number(dir, "cpu.cfs_period_us"))
	}
	return least
}

// memory returns the limit that leaves the least room and the bytes that its group uses; both are 0
// if no limit is below the machine's total. Version 1 states a number beyond all memory where there
// is no limit.
func (g groups) memory(total int64) (limit, used int64) {
	take := func(l, u int64) {
		if l > 0 && (total == 0 || l < total) && (limit == 0 || l-u < limit-used) {
			limit, used = l, u
		}
	}
	for _, dir := range g.unified {
		// The kernel slows down a group above memory.high and reclaims its memory, so that is a
		// limit too.
		for _, name := range []string{"memory.max", "memory.high"} {
			take(g.number(dir, name), g.number(dir, "memory.current")-g.cached(dir, "inactive_file"))
		}
	}
	for _, dir := range g.mems {
		take(g.number(dir, "memory.limit_in_bytes"), g.number(dir, "memory.usage_in_bytes")-g.cached(dir, "total_inactive_file"))
	}
	return limit, max(0, used)
}

// cached returns the bytes of page cache that a group gives back when it needs memory.
func (g groups) cached(dir, key string) int64 {
	for line := range strings.Lines(string(read(g.root, path.Join(dir, "memory.stat")))) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			return whole(v)
		}
	}
	return 0
}

func (g groups) number(dir, name string) int64 {
	return whole(strings.TrimSpace(string(read(g.root, path.Join(dir, name)))))
}

// whole reads a number that is not negative; anything else, such as "max", is 0.
func whole(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
