//! Who does something, and what they may do.

use crate::AppError;
use muster_domain::user::UserRole;
use std::net::IpAddr;

/// Something that a use case may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Look at nodes, applications, releases, rollouts, events, logs, configuration.
    FleetView,
    /// Upload artifacts and make releases.
    ReleaseCreate,
    /// Start, abort and reverse rollouts.
    RolloutStart,
    /// Apply fleet configuration.
    FleetConfigurationApply,
    /// Set and delete secrets.
    SecretSet,
    /// Invite, revoke, remove nodes; make them converge now.
    NodeManage,
    /// See and withdraw the tokens of other users.
    TokenManageAll,
}

impl Permission {
    /// The weakest role that has it.
    pub const fn least_role(self) -> UserRole {
        match self {
            Self::FleetView => UserRole::Viewer,
            Self::ReleaseCreate | Self::RolloutStart => UserRole::Deployer,
            Self::FleetConfigurationApply | Self::SecretSet | Self::NodeManage => UserRole::Operator,
            Self::TokenManageAll => UserRole::Admin,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::FleetView => "look at the fleet",
            Self::ReleaseCreate => "create releases",
            Self::RolloutStart => "deploy and roll back",
            Self::FleetConfigurationApply => "apply fleet configuration",
            Self::SecretSet => "set secrets",
            Self::NodeManage => "manage nodes",
            Self::TokenManageAll => "manage the tokens of others",
        }
    }
}

/// Who does something: an authenticated user.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user's id.
    pub user: muster_domain::UserId,
    /// The user's name, as it stands in events and in the audit log.
    pub name: String,
    /// What the user may do.
    pub role: UserRole,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Refuses what the role does not allow.
    pub fn require(&self, permission: Permission) -> Result<(), AppError> {
        let least = permission.least_role();
        if self.role >= least {
            return Ok(());
        }
        Err(AppError::Forbidden {
            detail: format!(
                "user {:?} has the role {} and may not {}",
                self.name,
                self.role.as_str(),
                permission.words()
            ),
            hint: format!("this needs the role {} or a higher one", least.as_str()),
        })
    }
}
