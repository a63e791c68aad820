package main

import (
	"errors"
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type soapFault = soap.HasFault

const (
	goldenName   = "bench-golden"   // powered off, with the snapshot "base"
	templateName = "bench-template" // a template
)

// templates makes the two machines that workers are cloned from.
func (l *lab) templates() error {
	ctx := l.context()
	source, ok := ctx.Map.Any("VirtualMachine").(*simulator.VirtualMachine)
	if !ok {
		return errors.New("-machines must be at least 1: templates are made from one")
	}
	for _, name := range []string{goldenName, templateName} {
		vm, err := clonedFrom(ctx, source, name, *source.Parent, types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{Pool: source.ResourcePool},
			Config:   &types.VirtualMachineConfigSpec{NumCPUs: 1, MemoryMB: 1024},
		})
		if err != nil {
			return err
		}
		if name == templateName {
			vm.MarkAsTemplate(&types.MarkAsTemplate{This: vm.Self})
			continue
		}
		l.golden = vm
		body := vm.CreateSnapshotTask(ctx, &types.CreateSnapshot_Task{This: vm.Self, Name: "base"})
		if err := done(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// gpus has hosts offer the settings' vGPU profiles.
func (l *lab) gpus() error {
	ctx := l.context()
	for name, profiles := range l.set().GPUs {
		host, ok := ctx.Map.FindByName(name, hosts(ctx)).(*simulator.HostSystem)
		if !ok {
			return fmt.Errorf("gpus: there is no host %s", name)
		}
		host.Config.SharedPassthruGpuTypes = profiles
	}
	return nil
}

func hosts(ctx *simulator.Context) []types.ManagedObjectReference {
	var found []types.ManagedObjectReference
	for _, host := range ctx.Map.All("HostSystem") {
		found = append(found, host.Reference())
	}
	return found
}

func (l *lab) cloned(ctx *simulator.Context, name string, folder types.ManagedObjectReference, spec types.VirtualMachineCloneSpec) (*simulator.VirtualMachine, error) {
	return clonedFrom(ctx, l.golden, name, folder, spec)
}

// clonedFrom clones at once, without the settings' delays and faults.
func clonedFrom(ctx *simulator.Context, source *simulator.VirtualMachine, name string, folder types.ManagedObjectReference, spec types.VirtualMachineCloneSpec) (*simulator.VirtualMachine, error) {
	body := source.CloneVMTask(ctx, &types.CloneVM_Task{This: source.Self, Folder: folder, Name: name, Spec: spec})
	result, fault := finish(ctx, body.(*methods.CloneVM_TaskBody).Res.Returnval)
	if fault != nil {
		return nil, fmt.Errorf("clone %s: %T", name, fault)
	}
	vm := ctx.Map.Get(result.(types.ManagedObjectReference)).(*simulator.VirtualMachine)
	if fault := configure(ctx, vm, spec.Config); fault != nil {
		return nil, fmt.Errorf("configure %s: %T", name, fault)
	}
	return vm, nil
}

// done waits for the task that a call returned.
func done(ctx *simulator.Context, body soap.HasFault) error {
	var ref types.ManagedObjectReference
	switch b := body.(type) {
	case *methods.PowerOnVM_TaskBody:
		ref = b.Res.Returnval
	case *methods.CreateSnapshot_TaskBody:
		ref = b.Res.Returnval
	default:
		return fmt.Errorf("no task: %T", body)
	}
	if _, fault := finish(ctx, ref); fault != nil {
		return fmt.Errorf("%T: %T", body, fault)
	}
	return nil
}
