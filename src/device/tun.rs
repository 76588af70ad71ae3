//! A Linux TUN device: `/dev/net/tun` opened, attached to or handed in, with the virtio-net header where the kernel gives it.
//!
//! Reads and writes never block. With offload, super-segments pass whole in both directions; where the kernel refuses header
//! or offload, or the caller wants neither, the device carries plain packets and says so in its [`Capabilities`]. Addresses
//! and MTU of the host's side are `netconfig`'s business. A device may have several queues, each a `Tun` of its own. No TAP.

use std::collections::VecDeque;
use std::ffi::c_short;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::uio::{readv, writev};
use smallvec::SmallVec;

use super::netconfig::{self, Added, HostSide};
use super::vnet::{self, VnetHeader};
use super::{Capabilities, Device, DeviceCounters, TunError};
use crate::base::buffer::Buffer;
use crate::wire::packet::{Frame, Packet};

const PATH: &str = "/dev/net/tun";
/// The MTU of a device that this network namespace does not show.
const DEFAULT_MTU: usize = 1_500;

/// A TUN device. What this process created vanishes with it; a device made before stays, without the addresses added here.
#[derive(Debug)]
pub struct Tun {
    // Declared first: added addresses are removed while the descriptor is still open.
    added: Added,
    fd: OwnedFd,
    name: String,
    created: bool,
    /// A virtio-net header stands before every packet.
    vnet: bool,
    capabilities: Capabilities,
    /// Read into next, so that an empty read costs no buffer.
    spare: Buffer,
    counters: DeviceCounters,
}

impl Tun {
    /// Creates the device `name` (`%d` in it stands for the first free number), or attaches to it if it was made before with
    /// `ip tuntap add`. Without `offload` it carries plain packets, as it does where the kernel cannot do better.
    ///
    /// # Errors
    /// Each [`TunError`] names its remedy.
    pub fn open(name: &str, offload: bool) -> Result<Tun, TunError> {
        Tun::open_with(name, offload, 0)
    }

    /// Like [`Tun::open`], for a device that may have further queues: see [`Tun::another_queue`]. One that was made before must have been
    /// made with `multi_queue`.
    ///
    /// # Errors
    /// As [`Tun::open`].
    pub fn open_queues(name: &str, offload: bool) -> Result<Tun, TunError> {
        Tun::open_with(name, offload, sys::IFF_MULTI_QUEUE)
    }

    /// A further queue of this device, after [`Tun::configure`]. The host keeps each flow on one queue: on that from which its last packet
    /// came, else by its hash.
    ///
    /// # Errors
    /// As [`Tun::open`]; a device that [`Tun::open`] made has one queue only.
    pub fn another_queue(&self) -> Result<Tun, TunError> {
        // The header stands on all queues or on none.
        Tun::open_queues(&self.name, self.vnet)
    }

    fn open_with(name: &str, offload: bool, flags: c_short) -> Result<Tun, TunError> {
        if !is_valid_name(name) {
            return Err(TunError::InvalidName(name.into()));
        }
        let options = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(PATH);
        let file = options.map_err(|error| match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => TunError::NoDriver,
            Errno::EACCES | Errno::EPERM => TunError::NoAccess,
            errno => TunError::system(format!("open {PATH}"), errno),
        })?;
        let vnet = attach(&file, name, offload, flags)?;
        let (name, flags) = sys::get_interface(&file).map_err(|e| TunError::system("ask for the name", e))?;
        let created = flags & sys::IFF_PERSIST == 0;
        Tun::from_parts(file.into(), name, created, vnet, offload)
    }

    /// Takes a descriptor of `/dev/net/tun` that somebody else opened and attached, whatever network namespace its device
    /// is in. The device must have been made with `IFF_NO_PI`; with `IFF_VNET_HDR` too it can offload.
    ///
    /// # Errors
    /// [`TunError::Descriptor`] tells what the descriptor lacks.
    pub fn from_fd(fd: OwnedFd, offload: bool) -> Result<Tun, TunError> {
        let number = fd.as_raw_fd();
        let unfit = |reason| TunError::Descriptor { fd: number, reason };
        let (name, flags) = sys::get_interface(&fd).map_err(|errno| match errno {
            Errno::EBADFD => unfit("is attached to no device"),
            _ => unfit("is no TUN device"),
        })?;
        if flags & sys::IFF_TUN == 0 {
            return Err(unfit("is a TAP device"));
        }
        // Not from TUNGETIFF: there IFF_NO_PI shares its bit with IFF_NOFILTER, which is nearly always set.
        if netconfig::has_packet_info(&name) == Some(true) {
            return Err(unfit("prefixes packets with protocol information"));
        }
        let action = || format!("make descriptor {number} non-blocking");
        let status = fcntl(&fd, FcntlArg::F_GETFL).map_err(|errno| TunError::system(action(), errno))?;
        let status = OFlag::from_bits_retain(status) | OFlag::O_NONBLOCK;
        fcntl(&fd, FcntlArg::F_SETFL(status)).map_err(|errno| TunError::system(action(), errno))?;
        Tun::from_parts(fd, name, false, flags & sys::IFF_VNET_HDR != 0, offload)
    }

    /// Like [`Tun::from_fd`], for the descriptor `number` that the program which started this one left open for it.
    ///
    /// # Errors
    /// [`TunError::Descriptor`] tells what the descriptor lacks.
    #[allow(unsafe_code)]
    pub fn from_inherited(number: i32, offload: bool) -> Result<Tun, TunError> {
        let unfit = TunError::Descriptor { fd: number, reason: "is not open" };
        // Standard input, output and error stay where they are.
        if number <= libc::STDERR_FILENO {
            return Err(unfit);
        }
        // SAFETY: borrowed for one call, which fails without effect if the descriptor is not open.
        let given = unsafe { BorrowedFd::borrow_raw(number) };
        let own = given.try_clone_to_owned().map_err(|_| unfit)?;
        Tun::from_fd(own, offload)
    }

    fn from_parts(
        fd: OwnedFd,
        name: String,
        created: bool,
        vnet: bool,
        offload: bool,
    ) -> Result<Tun, TunError> {
        let vnet_len = || format!("set the virtio-net header of {name} to {} bytes", vnet::LEN);
        if vnet {
            sys::set_vnet_header_len(&fd, vnet::LEN).map_err(|e| TunError::system(vnet_len(), e))?;
        }
        let mtu = netconfig::mtu(&name).unwrap_or(DEFAULT_MTU);
        let capabilities = agree(&fd, vnet && offload, mtu);
        let (spare, counters) = (Buffer::large(), DeviceCounters::default());
        Ok(Tun { added: Added::default(), fd, name, created, vnet, capabilities, spare, counters })
    }

    /// Sets up the host's side: MTU, queue length, link up, addresses. Call it before the stack asks for the capabilities.
    /// What failed without harm to the rest is returned: IPv6 where the kernel has none.
    ///
    /// # Errors
    /// Each [`TunError`] names its remedy.
    pub fn configure(&mut self, host: &HostSide) -> Result<Vec<TunError>, TunError> {
        let mut softly = Vec::new();
        self.added = netconfig::apply(&self.name, self.created, host, &mut softly)?;
        self.capabilities.mtu = netconfig::mtu(&self.name).unwrap_or(self.capabilities.mtu);
        Ok(softly)
    }

    /// The device's name, its number filled in.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if this process made the device, so that it vanishes with it.
    pub fn created(&self) -> bool {
        self.created
    }

    /// Reads one packet; `None` if it contradicts its header.
    fn read(&mut self) -> nix::Result<Option<Packet>> {
        let mut header = [0; vnet::LEN];
        let header_len = if self.vnet { vnet::LEN } else { 0 };
        let fd = &self.fd;
        let len = self.spare.fill(|chunk| {
            let mut parts = [IoSliceMut::new(&mut header[..header_len]), IoSliceMut::new(chunk)];
            readv(fd, &mut parts).map(|len| len.saturating_sub(header_len))
        })?;
        // The zeroed header of a device without one reads as no offload.
        let offload = VnetHeader::parse(&header).offload(self.spare.written());
        self.counters.read(len, offload.unwrap_or_default());
        let Some(offload) = offload else {
            self.counters.invalid += 1;
            return Ok(None);
        };
        let buffer = mem::replace(&mut self.spare, Buffer::large());
        Ok(Some(Packet { buffer, offload }))
    }

    fn write(&self, frame: &Frame) -> nix::Result<usize> {
        if !self.capabilities.can_carry(frame.offload) {
            return Err(Errno::EINVAL);
        }
        let header = VnetHeader::of(frame).to_bytes();
        let mut parts = SmallVec::<[IoSlice<'_>; 8]>::new();
        if self.vnet {
            parts.push(IoSlice::new(&header));
        }
        parts.push(IoSlice::new(frame.headers()));
        parts.extend(frame.payload.iter().map(|slice| IoSlice::new(slice)));
        writev(&self.fd, &parts)
    }

    fn gone(&self) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, TunError::Gone(self.name.clone()))
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Device for Tun {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        let mut count = 0;
        while count < max {
            match self.read() {
                Ok(Some(packet)) => {
                    packets.push(packet);
                    count += 1;
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // EFAULT is how the kernel wakes a reader whose device is being removed.
                Err(Errno::EBADFD | Errno::EFAULT) => return Err(self.gone()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(count)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        while let Some(frame) = frames.front() {
            match self.write(frame) {
                Ok(_) => self.counters.written(frame),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EIO) => {
                    self.counters.refused += frames.len() as u64;
                    frames.clear();
                    let down = TunError::Down(self.name.clone());
                    return Err(io::Error::new(io::ErrorKind::NetworkDown, down));
                }
                Err(Errno::EBADFD) => return Err(self.gone()),
                // EINVAL for one bad frame, ENOMEM and ENOBUFS for a passing shortage: lost, as on any link.
                Err(_) => self.counters.refused += 1,
            }
            frames.pop_front();
        }
        Ok(())
    }

    fn counters(&self) -> DeviceCounters {
        self.counters
    }
}

/// What the kernel takes as an interface name, and a template's `%d`.
fn is_valid_name(name: &str) -> bool {
    let plain = name.replacen("%d", "", 1);
    (1..libc::IFNAMSIZ).contains(&name.len())
        && !matches!(name, "." | "..")
        && plain.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte))
}

/// Makes `file` the device `name`, with the virtio-net header if `vnet` and the kernel has it; returns whether it does.
fn attach(file: &File, name: &str, vnet: bool, flags: c_short) -> Result<bool, TunError> {
    let plain = sys::IFF_TUN | sys::IFF_NO_PI | flags;
    if vnet && sys::set_interface(file, name, plain | sys::IFF_VNET_HDR).is_ok() {
        return Ok(true);
    }
    // Whatever was wrong with the header, this call tells what is wrong without it.
    let existed = if_nametoindex(name).is_ok();
    sys::set_interface(file, name, plain).map(|()| false).map_err(|errno| match errno {
        Errno::EBUSY => TunError::Busy(name.into()),
        Errno::EINVAL if existed && flags != 0 => TunError::OneQueue(name.into()),
        Errno::EINVAL if existed => TunError::NotTun(name.into()),
        Errno::EINVAL => TunError::InvalidName(name.into()),
        errno => TunError::system(format!("create the device {name}"), errno),
    })
}

/// Asks the kernel for as much offload as it has, or for none, and returns what the device can do then.
fn agree(fd: &OwnedFd, offload: bool, mtu: usize) -> Capabilities {
    // USO came with Linux 6.2; an older kernel refuses the whole set.
    if offload && sys::set_offload(fd, sys::OFFLOAD | sys::OFFLOAD_UDP).is_ok() {
        Capabilities::offload(mtu)
    } else if offload && sys::set_offload(fd, sys::OFFLOAD).is_ok() {
        Capabilities { udp_segmentation: false, ..Capabilities::offload(mtu) }
    } else {
        // A device made before keeps what its last user asked for. A kernel that cannot offload refuses even nothing.
        let _ = sys::set_offload(fd, 0);
        Capabilities::plain(mtu)
    }
}

/// The driver's ioctls, each as a safe function. The only unsafe code of the device.
#[allow(unsafe_code)]
mod sys {
    use std::ffi::{c_int, c_short, c_uint};
    use std::os::fd::{AsFd, AsRawFd};

    use nix::libc::IFNAMSIZ;
    use nix::{
        Result, ioctl_read_bad, ioctl_write_int_bad, ioctl_write_ptr, ioctl_write_ptr_bad, request_code_read,
        request_code_write,
    };

    pub(super) const IFF_TUN: c_short = 0x0001;
    pub(super) const IFF_MULTI_QUEUE: c_short = 0x0100;
    pub(super) const IFF_PERSIST: c_short = 0x0800;
    pub(super) const IFF_NO_PI: c_short = 0x1000;
    pub(super) const IFF_VNET_HDR: c_short = 0x4000;
    /// TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 and TUN_F_TSO_ECN (super-segments whose first segment carries CWR).
    pub(super) const OFFLOAD: c_uint = 0x01 | 0x02 | 0x04 | 0x08;
    /// TUN_F_USO4 and TUN_F_USO6, which the kernel takes together only.
    pub(super) const OFFLOAD_UDP: c_uint = 0x20 | 0x40;

    /// `struct ifreq` with its union as these calls use it: two bytes of flags, the rest zero.
    #[repr(C, align(8))]
    struct Request {
        name: [u8; IFNAMSIZ],
        flags: c_short,
        rest: [u8; 22],
    }

    ioctl_write_ptr_bad!(tunsetiff, request_code_write!(b'T', 202, size_of::<c_int>()), Request);
    ioctl_read_bad!(tungetiff, request_code_read!(b'T', 210, size_of::<c_uint>()), Request);
    ioctl_write_int_bad!(tunsetoffload, request_code_write!(b'T', 208, size_of::<c_uint>()));
    ioctl_write_ptr!(tunsetvnethdrsz, b'T', 216, c_int);

    /// TUNSETIFF. What exceeds `IFNAMSIZ - 1` bytes of the name is cut off.
    pub(super) fn set_interface(fd: impl AsFd, name: &str, flags: c_short) -> Result<()> {
        let mut request = Request { name: [0; IFNAMSIZ], flags, rest: [0; 22] };
        request.name.iter_mut().take(IFNAMSIZ - 1).zip(name.bytes()).for_each(|(to, from)| *to = from);
        // SAFETY: the descriptor is open while `fd` is borrowed, and `Request` has the size of `struct ifreq` (40 bytes on
        // 64-bit machines, 32 on others), which is all that the kernel reads or writes.
        unsafe { tunsetiff(fd.as_fd().as_raw_fd(), &request) }.map(drop)
    }

    /// TUNGETIFF: the device's name and its IFF flags.
    pub(super) fn get_interface(fd: impl AsFd) -> Result<(String, c_short)> {
        let mut request = Request { name: [0; IFNAMSIZ], flags: 0, rest: [0; 22] };
        // SAFETY: as for TUNSETIFF; the kernel writes a whole `struct ifreq` into `request`, any bytes being valid in it.
        unsafe { tungetiff(fd.as_fd().as_raw_fd(), &mut request) }?;
        let name = request.name.iter().take_while(|&&byte| byte != 0).copied().collect();
        Ok((String::from_utf8(name).map_err(|_| nix::Error::EINVAL)?, request.flags))
    }

    /// TUNSETOFFLOAD: what the reader of this device takes undone.
    pub(super) fn set_offload(fd: impl AsFd, features: c_uint) -> Result<()> {
        // SAFETY: the descriptor is open while `fd` is borrowed, and the argument is passed by value.
        unsafe { tunsetoffload(fd.as_fd().as_raw_fd(), features as c_int) }.map(drop)
    }

    /// TUNSETVNETHDRSZ: the length of the header before every packet.
    pub(super) fn set_vnet_header_len(fd: impl AsFd, len: usize) -> Result<()> {
        let len = len as c_int;
        // SAFETY: the descriptor is open while `fd` is borrowed, and the kernel reads one int from a local.
        unsafe { tunsetvnethdrsz(fd.as_fd().as_raw_fd(), &len) }.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_takes() {
        for good in ["tide0", "tide%d", "a", "abcdefghijklmno"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "tide%s", "%d%d", "abcdefghijklmnop", "größe"] {
            assert_eq!(Tun::open(bad, true).err(), Some(TunError::InvalidName(bad.into())));
        }
    }

    #[test]
    fn a_descriptor_of_something_else_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let fd = file.as_raw_fd();
        let error = Tun::from_fd(file.into(), true).unwrap_err();
        assert_eq!(error, TunError::Descriptor { fd, reason: "is no TUN device" });
    }
}
