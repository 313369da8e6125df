/**
 * Runs a command in a mount namespace of its own, in which some mounts are hidden: arguments are the numbers of the system calls unshare, mount and umount2, how many mounts there are to
 * hide, these, and the command, which takes its place. Crun refuses to work where it sees cgroup v2 beside controllers of v1.
 * @see unshare(2), mount(2), umount(2)
 */
export const ENTER_PROGRAM = String.raw`use strict;
use warnings;
no warnings 'exec';
my ($unshare, $mount, $umount2, $count, @rest) = @ARGV;
my @hide = splice(@rest, 0, $count);
my ($none, $root) = ("none\0", "/\0");
if (syscall($unshare + 0, 0x20000) == 0) {
  # It may not show elsewhere.
  syscall($mount + 0, $none, $root, $none, 0x44000, 0);
  for my $path (@hide) {
    my $hidden = "$path\0";
    syscall($umount2 + 0, $hidden, 2);
  }
}
exec { $rest[0] } @rest;
exit 127;
`;
