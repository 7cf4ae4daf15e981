package product

func quantise(dst *tensor, thread, threads int) {}

func normQuantise(dst *tensor, thread, threads int) {}

func product(dst *tensor, thread, threads int) {}

func gateUp(dst *tensor, thread, threads int) {}
