//! Images or features in the memory of a device. Where they do not fit there they stay in main
//! memory, and each batch is brought to the device while the one before is computed.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::mpsc::{sync_channel, Receiver};
use std::sync::Arc;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::base::catch_panic::catch_panic;
use crate::data::{Bytes, Examples, Vectoriser};
use crate::model::{read_back, upload};

/// Where images are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Device,
    /// In main memory, or in files that are mapped into it.
    Host,
}

/// Batches that are brought to the device ahead of the one that is computed.
const AHEAD: usize = 1;

/// Images as bytes, or documents as features, with the data set's labels, for models on a device.
#[derive(Debug)]
pub struct DeviceDataset {
    /// [N, H·W·C], channels innermost: pixels as bytes, or features as floats.
    pub(super) pixels: Tensor,
    /// `[N]`, with the data set's own label numbers, beside the pixels, as are the responses.
    pub(super) labels: Tensor,
    /// `[N]`, where a number is predicted.
    pub(super) responses: Option<Tensor>,
    /// Height, width, channels.
    pub(super) shape: [i64; 3],
    /// What `pixels` is a view of, in main memory.
    viewed: Option<Bytes>,
    device: Device,
    place: Place,
}

impl DeviceDataset {
    pub fn new(examples: &Examples, shape: [usize; 3], device: Device, place: Place) -> DeviceDataset {
        let labels: Vec<i64> = examples.labels.iter().map(|&label| i64::from(label)).collect();
        let at = if place == Place::Host { Device::Cpu } else { device };
        let viewed = examples.shared_pixels().filter(|pixels| at == Device::Cpu && !pixels.is_empty());
        let values = match (examples.features(), &viewed) {
            (Some(features), _) => upload(features, at),
            // SAFETY: `viewed` keeps the bytes where they are for as long as the tensor, and they
            // are only read.
            (None, Some(pixels)) => unsafe { Tensor::from_blob(pixels.as_ptr(), &[pixels.len() as i64], &[1], Kind::Uint8, at) },
            (None, None) => upload(examples.pixels(), at),
        };
        DeviceDataset {
            pixels: values.reshape([examples.len() as i64, -1]),
            labels: upload(&labels, at),
            responses: (!examples.responses.is_empty()).then(|| upload(&examples.responses, at)),
            shape: shape.map(|n| n as i64),
            viewed,
            device,
            place,
        }
    }

    /// Bytes that the examples take on a device.
    pub fn bytes(examples: &Examples) -> u64 {
        examples.features().map_or(examples.pixels().len(), |features| 4 * features.len()) as u64
    }

    /// Builds the features of documents under several vocabularies, for the rows that are wanted
    /// with each. Also returns, for each, the positions of its rows in the pool.
    pub fn of_words(examples: &Examples, wanted: &[(Arc<Vectoriser>, Vec<usize>)], device: Device) -> (DeviceDataset, Vec<Vec<usize>>) {
        let (mut values, mut labels, mut places): (Vec<f32>, Vec<i64>, Vec<Vec<usize>>) = (vec![], vec![], vec![]);
        let features = wanted.first().map_or(0, |(words, _)| words.features);
        for (i, (words, rows)) in wanted.iter().enumerate() {
            // Replicas with the same seed share their rows.
            let known = wanted[..i].iter().position(|(other, same)| Arc::ptr_eq(other, words) && same == rows);
            places.push(match (known, examples.corpus()) {
                (Some(known), _) => places[known].clone(),
                (None, Some(corpus)) => {
                    let first = labels.len();
                    values.extend(words.dense(corpus, rows));
                    labels.extend(rows.iter().map(|&row| i64::from(examples.labels[row])));
                    (first..labels.len()).collect()
                }
                (None, None) => vec![],
            });
        }
        let pixels = upload(&values, device).reshape([labels.len() as i64, features as i64]);
        let (labels, shape) = (upload(&labels, device), [1, 1, features as i64]);
        (DeviceDataset { pixels, labels, responses: None, shape, viewed: None, device, place: Place::Device }, places)
    }

    /// A handle to the same memory, for another thread.
    pub fn share(&self) -> DeviceDataset {
        DeviceDataset {
            pixels: self.pixels.shallow_clone(),
            labels: self.labels.shallow_clone(),
            responses: self.responses.as_ref().map(Tensor::shallow_clone),
            shape: self.shape,
            viewed: self.viewed.clone(),
            device: self.device,
            place: self.place,
        }
    }

    /// Of the models.
    pub fn device(&self) -> Device {
        self.device
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// Rows [K, N] in batches of this many columns: for each a pool that is on the device, and the
    /// batch's rows of that pool.
    pub fn batches(&self, rows: &Tensor, size: i64) -> Batches {
        let parts = || (0..rows.size()[1]).step_by(size as usize).map(|start| (start, size.min(rows.size()[1] - start)));
        if self.place == Place::Device {
            return Batches::Near {
                pool: self.share(),
                rows: parts().map(|(start, n)| rows.narrow(1, start, n)).collect::<Vec<_>>().into_iter(),
            };
        }
        let (pool, k, rows) = (self.share(), rows.size()[0], rows.to_device(Device::Cpu));
        let rows: Vec<(Vec<i64>, i64)> = parts().map(|(start, n)| (read_back(&rows.narrow(1, start, n).reshape([-1])), n)).collect();
        let (send, receive) = sync_channel(AHEAD);
        // Ends when the last batch has been taken, or when no more are wanted.
        std::thread::spawn(move || {
            tch::set_num_threads(1);
            for (rows, n) in rows {
                if send.send(catch_panic(|| pool.fetch(&rows, [k, n]))).is_err() {
                    return;
                }
            }
        });
        Batches::Far(receive)
    }

    /// Brings some rows of a pool in main memory to the device. A row that several replicas have is
    /// brought once.
    fn fetch(&self, rows: &[i64], size: [i64; 2]) -> (DeviceDataset, Tensor) {
        let (mut known, mut wanted): (HashMap<i64, i64>, Vec<i64>) = (HashMap::new(), vec![]);
        let place_of = |row: &i64| {
            *known.entry(*row).or_insert_with(|| {
                wanted.push(*row);
                wanted.len() as i64 - 1
            })
        };
        let places: Vec<i64> = rows.iter().map(place_of).collect();
        let wanted = Tensor::from_slice(&wanted);
        let bring = |values: &Tensor| self.bring(values.index_select(0, &wanted));
        let near = DeviceDataset {
            pixels: bring(&self.pixels),
            labels: bring(&self.labels),
            responses: self.responses.as_ref().map(bring),
            shape: self.shape,
            viewed: None,
            device: self.device,
            place: Place::Device,
        };
        (near, self.bring(Tensor::from_slice(&places)).reshape(size))
    }

    /// Copies from main memory to the device, from pinned memory: that copy waits for nothing, and
    /// libtorch keeps the memory until it is done.
    fn bring(&self, values: Tensor) -> Tensor {
        match self.device {
            Device::Cpu => values,
            device => values.pin_memory(device).to_device_(device, values.kind(), true, false),
        }
    }

    /// Height and width of an image.
    pub fn height_and_width(&self) -> [usize; 2] {
        [self.shape[0] as usize, self.shape[1] as usize]
    }
}

/// The batches of some rows, in order.
pub enum Batches {
    Near { pool: DeviceDataset, rows: std::vec::IntoIter<Tensor> },
    Far(Receiver<Result<(DeviceDataset, Tensor)>>),
}

impl Iterator for Batches {
    type Item = (DeviceDataset, Tensor);

    fn next(&mut self) -> Option<(DeviceDataset, Tensor)> {
        match self {
            Batches::Near { pool, rows } => Some((pool.share(), rows.next()?)),
            Batches::Far(fetched) => match fetched.recv().ok()? {
                Ok(batch) => Some(batch),
                // As if it had been brought by this thread.
                Err(error) => resume_unwind(Box::new(error.to_string())),
            },
        }
    }
}
