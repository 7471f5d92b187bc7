//! TensorBoard event files with scalars, images and HParams, encoded by tensorboard-rs.
//!
//! The writer of tensorboard-rs is not used. It starts a thread for each file, loses its queue when
//! the process is killed, and aborts the process when the disk is full.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use protobuf::well_known_types::{ListValue, Value};
use protobuf::{Message, RepeatedField};
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::event::Event;
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::summary::{Summary, SummaryMetadata, SummaryMetadata_PluginData, Summary_Value};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::types::DataType as TensorType;
use tensorboard_rs::record_writer::RecordWriter;
use tensorboard_rs::summary::{image, scalar};

use crate::store::{host, now};

/// Prefix of event file names, by which TensorBoard finds them.
const PREFIX: &str = "events.out.tfevents.";

/// Removes the event files of a folder. Returns whether there were any.
pub fn remove(folder: &Path) -> io::Result<bool> {
    remove_others(folder, None)
}

/// The same, except for the files of the stage with this key, which another shard may be writing.
pub fn remove_others(folder: &Path, key: Option<&str>) -> io::Result<bool> {
    let end = key.map(|key| format!(".{key}"));
    let mut any = false;
    let Ok(entries) = fs::read_dir(folder) else { return Ok(false) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && !end.as_ref().is_some_and(|end| name.ends_with(end)) {
            any = true;
            // Another shard may have removed it already.
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(any)
}

/// Whether a folder has event files of the stage with this key.
pub fn is_of(folder: &Path, key: &str) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).any(|name| name.ends_with(&format!(".{key}")))
}

/// The value of a hyperparameter.
#[derive(Debug, Clone, PartialEq)]
pub enum HParam {
    Number(f64),
    Text(String),
}

impl HParam {
    fn proto(&self) -> Value {
        let mut value = Value::new();
        match self {
            HParam::Number(number) => value.set_number_value(*number),
            HParam::Text(text) => value.set_string_value(text.clone()),
        }
        value
    }
}

/// One event file in the folder of a run.
pub struct EventFile {
    records: RecordWriter<BufWriter<File>>,
}

impl EventFile {
    /// Creates a new file in `folder` and removes the event files of earlier attempts. The file
    /// name ends in `of`.
    pub fn create(folder: &Path, of: &str) -> io::Result<EventFile> {
        fs::create_dir_all(folder)?;
        remove(folder)?;
        let name = format!("{PREFIX}{:010}.{}.{}.{of}", now() as u64, host(), std::process::id());
        let mut file = EventFile { records: RecordWriter::new(BufWriter::new(File::create(folder.join(name))?)) };
        let mut event = Event::new();
        event.set_file_version("brain.Event:2".into());
        file.write(event, 0)?;
        file.flush()?;
        Ok(file)
    }

    fn write(&mut self, mut event: Event, step: usize) -> io::Result<()> {
        event.set_wall_time(now());
        event.set_step(step as i64);
        let bytes = event.write_to_bytes().map_err(io::Error::other)?;
        self.records.write(&bytes)
    }

    fn summary(&mut self, summary: Summary, step: usize) -> io::Result<()> {
        let mut event = Event::new();
        event.set_summary(summary);
        self.write(event, step)
    }

    /// Writes a scalar. A value that is not finite is skipped.
    pub fn scalar(&mut self, tag: &str, value: f64, step: usize) -> io::Result<()> {
        if value.is_finite() {
            self.summary(scalar(tag, value as f32), step)
        } else {
            Ok(())
        }
    }

    /// Writes an image of width × height RGB pixels.
    pub fn image(&mut self, tag: &str, rgb: &[u8], width: u32, height: u32, step: usize) -> io::Result<()> {
        self.summary(image(tag, rgb, &[3, width as usize, height as usize]), step)
    }

    /// Writes Markdown for the TEXT tab.
    pub fn text(&mut self, tag: &str, text: &str, step: usize) -> io::Result<()> {
        let mut tensor = TensorProto::new();
        tensor.set_dtype(TensorType::DT_STRING);
        tensor.set_string_val(RepeatedField::from(vec![text.as_bytes().to_vec()]));
        let mut plugin = SummaryMetadata_PluginData::new();
        plugin.set_plugin_name("text".into());
        let mut metadata = SummaryMetadata::new();
        metadata.set_plugin_data(plugin);
        let mut value = Summary_Value::new();
        value.set_tag(tag.into());
        value.set_metadata(metadata);
        value.set_tensor(tensor);
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from(vec![value]));
        self.summary(summary, step)
    }

    /// Writes the axes with their values, and the metrics. They define the layout of TensorBoard's
    /// HParams tab.
    pub fn experiment(&mut self, axes: &[(String, Vec<HParam>)], metrics: &[&str]) -> io::Result<()> {
        let mut experiment = Experiment::new();
        experiment.set_time_created_secs(now());
        let infos = axes.iter().map(|(name, values)| {
            let mut info = HParamInfo::new();
            info.set_name(name.clone());
            let numeric = values.iter().all(|v| matches!(v, HParam::Number(_)));
            info.set_field_type(if numeric { DataType::DATA_TYPE_FLOAT64 } else { DataType::DATA_TYPE_STRING });
            let mut domain = ListValue::new();
            domain.set_values(values.iter().map(HParam::proto).collect());
            info.set_domain_discrete(domain);
            info
        });
        experiment.set_hparam_infos(infos.collect());
        let infos = metrics.iter().map(|tag| {
            let mut name = MetricName::new();
            name.set_tag(tag.to_string());
            let mut info = MetricInfo::new();
            info.set_name(name);
            info
        });
        experiment.set_metric_infos(infos.collect());
        let mut data = HParamsPluginData::new();
        data.set_experiment(experiment);
        self.hparams("_hparams_/experiment", &data)
    }

    /// Writes the hyperparameters of this run. TensorBoard averages runs of the same `group` (a
    /// cell without its seed).
    pub fn session_start(&mut self, hparams: &[(String, HParam)], group: &str) -> io::Result<()> {
        let mut info = SessionStartInfo::new();
        info.set_hparams(hparams.iter().map(|(name, value)| (name.clone(), value.proto())).collect());
        info.set_group_name(group.into());
        info.set_start_time_secs(now());
        let mut data = HParamsPluginData::new();
        data.set_session_start_info(info);
        self.hparams("_hparams_/session_start_info", &data)
    }

    pub fn session_end(&mut self, success: bool) -> io::Result<()> {
        let mut info = SessionEndInfo::new();
        info.set_status(if success { Status::STATUS_SUCCESS } else { Status::STATUS_FAILURE });
        info.set_end_time_secs(now());
        let mut data = HParamsPluginData::new();
        data.set_session_end_info(info);
        self.hparams("_hparams_/session_end_info", &data)
    }

    fn hparams(&mut self, tag: &str, data: &HParamsPluginData) -> io::Result<()> {
        let mut plugin = SummaryMetadata_PluginData::new();
        plugin.set_plugin_name("hparams".into());
        plugin.set_content(data.write_to_bytes().map_err(io::Error::other)?);
        let mut metadata = SummaryMetadata::new();
        metadata.set_plugin_data(plugin);
        let mut value = Summary_Value::new();
        value.set_tag(tag.into());
        value.set_metadata(metadata);
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from(vec![value]));
        self.summary(summary, 0)
    }

    /// Passes all data to the operating system. TensorBoard can then read it, and a kill does not
    /// lose it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.records.flush()
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        let _ = self.flush(); // callers that need the result flush first
    }
}
