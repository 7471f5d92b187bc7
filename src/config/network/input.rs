//! The shape of the images that the network gets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See `Network::input`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Height and width. Of an image of another size, the largest square around the middle is
    /// scaled, with antialiasing. null: the size of the source's images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// 1: grey, 3: colour. A colour image becomes grey by its luminance (ITU-R 601), a grey one
    /// gets three equal channels. null: as the source's images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// What is subtracted from each channel, in units of pixel/255; pretrained networks need the
    /// numbers that they were trained with. null: the mean over the source's training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// What each channel is divided by after that. null: the standard deviation over the source's
    /// training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd: Option<Vec<f64>>,
}

impl Input {
    pub(super) fn is_default(&self) -> bool {
        *self == Input::default()
    }
}
