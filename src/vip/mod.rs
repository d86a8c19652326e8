//! The anycast addresses on the host: added before they are announced, and
//! removed after they are withdrawn.
