/**
 * Runs a command in a mount namespace of its own, in which some mounts are hidden: arguments are the numbers of the system calls unshare and mount, how many mounts there are to hide,
 * these, and the command, which takes its place. Crun refuses to work where it sees cgroup v2 beside controllers of v1. Were the mount taken away, crun would make the cgroup's directory in
 * what is below it, where nobody ever sees it and takes it away: what covers it goes with the namespace.
 * @see unshare(2), mount(2)
 */
export const ENTER_PROGRAM = String.raw`use strict;
use warnings;
no warnings 'exec';
my ($unshare, $mount, $count, @rest) = @ARGV;
my @hide = splice(@rest, 0, $count);
my ($none, $root, $cover) = ("none\0", "/\0", "tmpfs\0");
if (syscall($unshare + 0, 0x20000) == 0) {
  # It may not show elsewhere.
  syscall($mount + 0, $none, $root, $none, 0x44000, 0);
  for my $path (@hide) {
    my $hidden = "$path\0";
    syscall($mount + 0, $cover, $hidden, $cover, 14, 0);
  }
}
exec { $rest[0] } @rest;
exit 127;
`;
