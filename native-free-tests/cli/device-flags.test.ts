import { describe, expect, it } from 'vitest';
import { devicesOf, leasesOf } from '#src/cli/running/flags/device-flags.js';

const of = (...device: string[]) => devicesOf({ device }, () => false);

describe('devices on the command line', () => {
  it('are written as Docker and podman have them', () => {
    expect(of('/dev/fuse', '/dev/sda:/dev/xvda', '/dev/sdb:r', '/dev/sdc:/dev/xvdc:rwm').devices).toEqual([
      { source: '/dev/fuse' },
      { source: '/dev/sda', target: '/dev/xvda' },
      { source: '/dev/sdb', access: 'r' },
      { source: '/dev/sdc', target: '/dev/xvdc', access: 'rwm' },
    ]);
    expect(of('nvidia.com/gpu=0', '/dev/fuse')).toEqual({
      devices: [{ source: '/dev/fuse' }],
      cdiDevices: ['nvidia.com/gpu=0'],
    });
  });

  it('are names of CDI files where they are no paths', () => {
    expect(of('/dev/a=b', 'a.b/c=d')).toEqual({ devices: [{ source: '/dev/a=b' }], cdiDevices: ['a.b/c=d'] });
  });

  it('may have colons in their names where they are there', () => {
    const there = ['/dev/pci:0', '/dev/pci:0:1'];
    const devices = (text: string) => devicesOf({ device: [text] }, (path) => there.includes(path)).devices;
    expect(devices('/dev/pci:0:1')).toEqual([{ source: '/dev/pci:0:1' }]);
    expect(devices('/dev/pci:0:1:r')).toEqual([{ source: '/dev/pci:0:1', access: 'r' }]);
    expect(devices('/dev/pci:0:/dev/x:rw')).toEqual([{ source: '/dev/pci:0', target: '/dev/x', access: 'rw' }]);
    expect(devices('/dev/pci:r')).toEqual([{ source: '/dev/pci', access: 'r' }]);
    expect(() => devices('/dev/pci:2')).toThrow(/is no device/);
  });

  it.each([
    '',
    'dev/fuse',
    '/dev/fuse:rr',
    '/dev/fuse:/x',
    '/dev/fuse:/dev/../x',
    '/dev/fuse:/dev/x:wr:w',
    '/dev/fuse:/dev/x:mm',
    '/dev/fuse:',
    '/dev/fuse:x',
    '/dev/fuse:/dev/y:x',
    '/dev/fuse:r:/dev/y',
    '/dev/a:/dev/b:r:w',
    ':/dev/a',
  ])('that are none are wrong usage: %j', (text) => {
    expect(() => of(text)).toThrow(/is no device/);
  });

  it.each([
    ['all', ['all']],
    ['-1', ['all']],
    ['2', ['0', '1']],
    ['0', []],
    ['device=0,2', ['0', '2']],
    ['"device=GPU-3a,1:0"', ['GPU-3a', '1:0']],
    ['count=2', ['0', '1']],
    ['count=all', ['all']],
    ['all,capabilities=utility', ['all']],
    ['"device=0,1",capabilities=utility', ['0', '1']],
    ['device=0,1,capabilities=utility', ['0', '1']],
    ['"capabilities=compute,utility",driver=nvidia,device=1', ['1']],
  ])('may be GPUs: %s', (gpus, names) => {
    expect(devicesOf({ device: [], gpus }).cdiDevices).toEqual(names.map((name) => `nvidia.com/gpu=${name}`));
  });

  it.each([
    'some',
    '',
    'device=',
    '1.5',
    'device=a b',
    'device=0,,1',
    'device=0,',
    'device=0,count=1',
    'device=0,device=1',
    'all,1',
    'capabilities=utility',
    'all,capabilities=levitation',
    'all,driver=other',
    'all,options=x',
    '"device=0',
    'count=many',
  ])('that say nothing of GPUs are wrong usage: %s', (gpus) => {
    expect(() => devicesOf({ device: [], gpus })).toThrow(/says nothing of GPUs/);
  });
});

describe('leases on the command line', () => {
  const cpus = (leaseCpus: string) => leasesOf({ leaseCpus, leaseDevice: [] }).leases?.cpus;
  const devices = (...leaseDevice: string[]) => leasesOf({ leaseDevice }).leases;

  it('of processors are a number of them, or which', () => {
    expect(['2', '10', '0-2,7', '3-3', '0,1'].map(cpus)).toEqual([2, 10, '0-2,7', '3-3', '0,1']);
  });

  it.each(['0', '-1', 'two', '1.5', '', 'all', '00000'])('of processors are not %j', (text) => {
    expect(() => cpus(text)).toThrow(/--lease-cpus: neither a number/);
  });

  it('of devices are paths and names, or so many of a kind', () => {
    expect(devices('/dev/loop3', 'v.example/gpu=0:1', 'v.example/gpu', 'v.example/fpga:2', 'v.example/gpu:3')).toEqual({
      devices: ['/dev/loop3', 'v.example/gpu=0:1'],
      deviceClasses: { 'v.example/gpu': 4, 'v.example/fpga': 2 },
    });
  });

  it.each(['gpu', 'v.example/gpu:0', 'v.example/gpu:x', ''])('of devices are not %j', (text) => {
    expect(() => devices(text)).toThrow(/--lease-device: .* is no device/);
  });

  it('are none where nothing is leased', () => {
    expect(leasesOf({ leaseDevice: [] })).toEqual({});
  });
});
